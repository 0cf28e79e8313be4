// The encoders by name. Two specs with one key give the same bytes, so sinks with equal keys share batches.

import type { MemoryBudget } from '../memory.ts'
import type { Encoder } from './base.ts'
import { DcosJson } from './dcos/jsonObject.ts'
import { DcosText } from './dcos/textLine.ts'
import { EcsEncoder } from './ecs/ecsEncoder.ts'
import { FlatEncoder } from './flat.ts'
import { JournalctlExport, JournalctlJson } from './journalctl/forms.ts'
import { PrettyJson } from './journalctl/prettyForm.ts'
import { TextLines } from './journalctl/textLines.ts'
import { RecordExport } from './record/export.ts'
import { RecordJson } from './record/json.ts'
import { RecordMsgpack } from './record/msgpack.ts'
import type { EncoderSpec, RecordSpec } from './spec.ts'

export { Encoder } from './base.ts'
export { type EncoderSpec, encoderKey, type FieldRules, type RecordSpec, type TextOptions } from './spec.ts'
export type { GroupTable } from './watch.ts'

/** Makes an encoder. What it keeps of files counts towards `memory`. */
export function createEncoder(spec: EncoderSpec, memory: MemoryBudget): Encoder {
  switch (spec.format) {
    case 'json':
      return new FlatEncoder(new JournalctlJson(spec.all), memory)
    case 'json-pretty':
      return new FlatEncoder(new PrettyJson(spec.all), memory)
    case 'export':
      return new FlatEncoder(new JournalctlExport(spec.only), memory)
    case 'dcos-json':
      return new DcosJson(spec.framing, spec.arrays, memory)
    case 'dcos-text':
      return new DcosText(memory)
    case 'record':
      return createRecordEncoder(spec, memory)
    default:
      return new TextLines(spec.format, spec, memory)
  }
}

function createRecordEncoder(spec: RecordSpec, memory: MemoryBudget): Encoder {
  if (spec.encoding === 'journal-export') return new FlatEncoder(new RecordExport(spec), memory)
  if (spec.shape === 'ecs') return new EcsEncoder(spec, memory)
  return spec.encoding === 'msgpack'
    ? new FlatEncoder(new RecordMsgpack(spec), memory)
    : new FlatEncoder(new RecordJson(spec), memory)
}
