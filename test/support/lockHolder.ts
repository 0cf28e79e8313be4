// A process that takes the lock of the folder in its first argument, for tests that race or kill it. Prints `held` or the
// code of the problem, and then, when it holds the lock, stays until it is killed or its stdin ends. With a second argument
// it waits for that time (ms since 1970) before it tries, so that several begin at once.
import { isProblem } from '../../src/errors.ts'
import { StateLock } from '../../src/pipeline/state/stateLock.ts'

const [folder = '', at = '0'] = process.argv.slice(2)
while (Date.now() < Number(at)) {
  // A timer would come a little late, and differently so in each process.
}
try {
  const lock = await StateLock.acquire(folder, 'lock', {
    describe: () => ({ sinks: ['search'], writes: ['/var/log/out.ndjson'] }),
    answer: (request) => (request === 'status' ? { well: true } : undefined),
  })
  console.log('held')
  process.stdin.on('end', () => void lock.release()).resume()
} catch (error) {
  console.log(isProblem(error) ? error.code : String(error))
}
