// What receivers answer: ExportLogsServiceResponse to what they took, google.rpc.Status to what they did not, each in protobuf or JSON.

import { SinkError } from '../../src/sink.ts'
import type { Answer } from '../parts/http.ts'
import { readFields } from './protobuf.ts'

/** Of a request that was taken. */
export interface PartialSuccess {
  /** So many log records were refused; which ones is not said. */
  readonly rejected: number
  readonly message: string
}

const NOTHING: PartialSuccess = { rejected: 0, message: '' }

/** Reads the answer to a request that was taken. Throws `in-doubt` when it is not a receiver's. */
export function readPartialSuccess({ body, headers, url }: Answer): PartialSuccess {
  if (body.length === 0) return NOTHING
  try {
    return isProtobuf(headers) ? fromProtobuf(body) : fromJson(body)
  } catch (cause) {
    throw new SinkError('in-doubt', `${new URL(url).host}: the answer is not that of an OTLP receiver`, { cause })
  }
}

/** The answer with what its Status says as plain text, where that is in protobuf. */
export function withPlainStatus(answer: Answer): Answer {
  if (!isProtobuf(answer.headers)) return answer
  let message = ''
  try {
    message = textOf(readFields(answer.body).get(2))
  } catch {
    // Cut off, or something else: then the status alone is told.
  }
  return { ...answer, body: Buffer.from(message), headers: { ...answer.headers, 'content-type': 'text/plain' } }
}

function isProtobuf(headers: Answer['headers']): boolean {
  return String(headers['content-type'] ?? '').startsWith('application/x-protobuf')
}

function fromProtobuf(body: Buffer): PartialSuccess {
  const partial = readFields(body).get(1)
  if (!Buffer.isBuffer(partial)) return NOTHING
  const fields = readFields(partial)
  const rejected = fields.get(1)
  return { rejected: typeof rejected === 'number' ? rejected : 0, message: textOf(fields.get(2)) }
}

function fromJson(body: Buffer): PartialSuccess {
  const { partialSuccess } = JSON.parse(body.toString()) as {
    partialSuccess?: { rejectedLogRecords?: string | number; errorMessage?: string }
  }
  const rejected = Number(partialSuccess?.rejectedLogRecords ?? 0)
  if (!Number.isFinite(rejected)) throw new TypeError('rejectedLogRecords is no number')
  return { rejected, message: partialSuccess?.errorMessage ?? '' }
}

function textOf(field: number | Buffer | undefined): string {
  return Buffer.isBuffer(field) ? field.toString() : ''
}
