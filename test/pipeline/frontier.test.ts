import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Frontier, type Ticket } from '../../src/pipeline/frontier.ts'

describe('Frontier', () => {
  it('moves over the longest settled run and no further', () => {
    const frontier = new Frontier('0')
    const [a, b, c] = ['1', '2', '3'].map((after) => frontier.open(after)) as [Ticket, Ticket, Ticket]
    expect(frontier.settle(b)).toBe(false)
    expect(frontier.edge).toBe('0')
    expect(frontier.settle(a)).toBe(true)
    expect(frontier.edge).toBe('2')
    expect(frontier.settle(c)).toBe(true)
    expect(frontier.edge).toBe('3')
    expect(frontier.size).toBe(0)
  })

  it('never crosses an open batch and ends at the same edge, whatever the order of settling', () => {
    const steps = fc.array(fc.tuple(fc.nat(), fc.boolean()), { maxLength: 60 })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 }), steps, (count, choices) => {
        const frontier = new Frontier('0')
        const open: { ticket: Ticket; number: number }[] = []
        let opened = 0
        let edge = 0
        const check = (): void => {
          const now = Number(frontier.edge)
          expect(now).toBeGreaterThanOrEqual(edge)
          expect(open.every(({ number }) => now < number)).toBe(true)
          edge = now
        }
        const openOne = (): void => {
          opened++
          open.push({ ticket: frontier.open(String(opened)), number: opened })
        }
        for (const [choice, opens] of choices) {
          if (opens && opened < count) openOne()
          else if (open.length > 0) frontier.settle(open.splice(choice % open.length, 1)[0]!.ticket)
          check()
        }
        while (opened < count) openOne()
        while (open.length > 0) {
          frontier.settle(open.splice(open.length >> 1, 1)[0]!.ticket)
          check()
        }
        expect(frontier.edge).toBe(String(count))
      }),
    )
  })

  it('keeps ground without entries in order and does not grow by it', () => {
    const frontier = new Frontier('0')
    const open = frontier.open('1')
    for (let after = 2; after < 100; after++) expect(frontier.pass(String(after))).toBe(false)
    expect(frontier.size).toBe(2)
    expect(frontier.edge).toBe('0')
    frontier.settle(open)
    expect(frontier.edge).toBe('99')
    expect(frontier.pass('100')).toBe(true)
    expect(frontier.edge).toBe('100')
  })

  it('knows which batch holds back settled ones', () => {
    const frontier = new Frontier('0')
    const [a, b] = [frontier.open('1'), frontier.open('2')]
    expect(frontier.isHoldingBack(a)).toBe(false)
    frontier.settle(b)
    expect(frontier.isHoldingBack(a)).toBe(true)
    expect(frontier.isHoldingBack(b)).toBe(false)
  })

  it('ignores batches from before a rewind', () => {
    const frontier = new Frontier('5')
    const old = frontier.open('6')
    frontier.reset('2')
    expect(frontier.settle(old)).toBe(false)
    expect(frontier.edge).toBe('2')
  })
})
