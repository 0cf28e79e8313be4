import { expect, it } from 'vitest'
import { BodyMemory } from '../../../sinks/parts/memory.ts'

it('gives back the memory that it was given, as long as it is large enough', () => {
  const memory = new BodyMemory()
  const first = memory.take(100_000)
  expect(first.length).toBeGreaterThanOrEqual(100_000)
  memory.giveBack(first.subarray(0, 70_000))
  expect(memory.take(200_000).buffer).toBe(first.buffer)
  memory.giveBack(first)
  expect(memory.take(first.length + 1).buffer).not.toBe(first.buffer)
})

it('never gives the same memory twice', () => {
  const memory = new BodyMemory()
  const first = memory.take(10)
  memory.giveBack(first)
  const again = memory.take(10)
  expect(again.buffer).toBe(first.buffer)
  expect(memory.take(10).buffer).not.toBe(first.buffer)
})

it('keeps few pieces, the largest, and none that is very large', () => {
  const memory = new BodyMemory(2, 1_000_000)
  const [small, middle, large, huge] = [10, 300_000, 600_000, 2_000_000].map((bytes) => memory.take(bytes))
  for (const piece of [huge, large, small, middle]) memory.giveBack(piece!)
  const found = [memory.take(10), memory.take(10), memory.take(10)].map(({ buffer }) => buffer)
  expect(new Set(found.slice(0, 2))).toEqual(new Set([middle!.buffer, large!.buffer]))
  expect([small!.buffer, huge!.buffer]).not.toContain(found[2])
  memory.giveBack(large!)
  memory.clear()
  expect(memory.take(10).buffer).not.toBe(large!.buffer)
})
