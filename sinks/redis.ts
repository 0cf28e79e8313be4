// Ships entries through Redis: into a list or a stream, which hold the position beside the data and so get every entry once,
// or to a channel. What stands where: redis/queue.ts, redis/channel.ts, redis/link.ts for the connection.

import { defineSink } from '../src/sink.ts'
import { ChannelSink } from './redis/channel.ts'
import { type RedisConfig, redisConfig } from './redis/options.ts'
import { QueueSink } from './redis/queue.ts'

export default defineSink<RedisConfig>({
  name: 'redis',
  summary: 'Pushes entries onto a Redis list or stream, each once, or publishes them to a channel.',
  config: redisConfig,
  // What takes from it mostly indexes: the same as for Elasticsearch, and so the entries are encoded once for both.
  defaults: { max_custom: 500 },
  needs: { ioredis: 'the connection to Redis' },
  create: (config, host) => (config.mode === 'channel' ? new ChannelSink(config, host) : new QueueSink(config, host)),
})
