// What tests use of Splunk's own client, which has no types.
declare module 'splunk-logging' {
  export interface Context {
    message: unknown
    metadata?: { time?: number; host?: string; source?: string; sourcetype?: string; index?: string }
  }
  export class Logger {
    constructor(config: { url: string; token: string; maxBatchCount?: number })
    error: (error: Error, context?: Context) => void
    send(context: Context, callback: (error?: Error | null, response?: unknown, body?: unknown) => void): void
  }
}
