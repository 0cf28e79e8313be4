// The slow way to encode an entry: all values first, then the fields part in one piece. Taken when a field occurs twice, or when something in
// the record depends on several fields. Reads every value again: rare enough that keeping it simple is worth more.

import type { JournalFile } from '../file/file.ts'
import type { FieldTable } from './fieldTable.ts'
import type { FlatField, FlatForm, GatheredItem } from './flat.ts'
import type { Output } from './output.ts'
import type { Watch } from './watch.ts'

/** Appends the fields of the file's loaded entry after the head; returns how many name–value pairs these are. */
export function gather<Field extends FlatField>(
  output: Output,
  file: JournalFile,
  form: FlatForm<Field>,
  table: FieldTable<Field>,
  watch: Watch | undefined,
): number {
  const offsets = itemOffsets(file)
  const items: GatheredItem<Field>[] = []
  const from = output.length
  for (const offset of offsets) {
    if (!file.payload(offset)) continue
    watch?.see(file, offset / 8)
    const field = table.find(file.bytes, file.start, file.equals)
    if (!field.kept) form.notice(file)
    if (field.drop) continue
    form.value(output, file, field)
    const value = output.out.latin1Slice(from, output.length)
    output.length = from
    items.push({ field, value, base64: form.base64, cut: form.cut })
  }
  const { text, pairs } = form.gathered(items)
  output.room(text.length)
  output.out.latin1Write(text, from, text.length)
  output.length = from + text.length
  return pairs
}

/** The offsets of the loaded entry's items, copied: reading values may move the window that the items stand in. */
export function itemOffsets(file: JournalFile): number[] {
  const { itemWords, itemBase, itemStride, itemCount } = file
  const offsets: number[] = []
  for (let k = 0; k < itemCount; k++) {
    const i = itemBase + k * itemStride
    offsets.push(itemStride === 4 ? itemWords[i] + itemWords[i + 1] * 4294967296 : itemWords[i])
  }
  return offsets
}

/** Values by key, keys in the order of their first value. */
export function groupByKey<Field extends FlatField>(
  items: readonly GatheredItem<Field>[],
): Map<string, GatheredItem<Field>[]> {
  const groups = new Map<string, GatheredItem<Field>[]>()
  for (const item of items) {
    const group = groups.get(item.field.key)
    if (group === undefined) groups.set(item.field.key, [item])
    else group.push(item)
  }
  return groups
}
