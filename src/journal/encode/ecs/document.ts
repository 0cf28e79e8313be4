// A nested document in the making: pairs by the object they belong to. The objects are known beforehand, as a tree; what a pair costs is two
// string additions. Invariant: no object is written twice and none is empty.

import type { Notation } from './notation.ts'

export const ROOT = 0

/** A place for a value: an object, and what stands before the value as its first pair or as a later one. */
export interface Place {
  readonly node: number
  readonly first: string
  readonly later: string
}

interface Node extends Place {
  readonly children: Node[]
  readonly id: number
  /** Its pairs follow others that are written elsewhere, so none of them is the first. */
  readonly isOpen: boolean
}

export class EcsDocument {
  readonly #notation: Notation
  readonly #open: ReadonlySet<string>
  readonly #nodes: Node[] = []
  readonly #byPath = new Map<string, Node>()
  // Pairs of this entry by object, and those that every entry has.
  #pairs: string[] = []
  #counts: number[] = []
  readonly #fixedPairs: string[] = []
  readonly #fixedCounts: number[] = []
  /** Pairs that `text` put together last. */
  count = 0

  /** @param open paths of objects that are written in parts; their parents leave them out */
  constructor(notation: Notation, open: readonly string[]) {
    this.#notation = notation
    this.#open = new Set(open)
    this.node([])
  }

  /** The number of the object at a path, made when it is new. */
  node(path: readonly string[]): number {
    const name = path.join('.')
    const known = this.#byPath.get(name)
    if (known !== undefined) return known.id
    const parent = path.length === 0 ? undefined : this.#nodes[this.node(path.slice(0, -1))]
    const place = this.#place(parent?.id ?? ROOT, path.at(-1) ?? '')
    const node: Node = { ...place, children: [], id: this.#nodes.length, isOpen: this.#open.has(name) }
    if (!node.isOpen) parent?.children.push(node)
    this.#nodes.push(node)
    this.#byPath.set(name, node)
    this.#fixedPairs.push('')
    this.#fixedCounts.push(0)
    this.begin()
    return node.id
  }

  /** The place of a member, by its path. */
  place(path: string): Place {
    const parts = path.split('.')
    return this.#place(this.node(parts.slice(0, -1)), parts.at(-1) ?? '')
  }

  /** True when there is an object at this path. */
  has(path: string): boolean {
    return this.#byPath.has(path)
  }

  /** Adds a member to every document from now on. */
  fix(path: string, value: string): void {
    const { node, first, later } = this.place(path)
    this.#fixedPairs[node] += this.#fixedCounts[node] === 0 && !this.#nodes[node].isOpen ? first + value : later + value
    this.#fixedCounts[node]++
  }

  /** Begins the document of an entry. */
  begin(): void {
    this.#pairs = this.#fixedPairs.slice()
    this.#counts = this.#fixedCounts.slice()
  }

  add({ node, first, later }: Place, value: string): void {
    const lead = this.#counts[node]++ === 0 && !this.#nodes[node].isOpen ? first : later
    this.#pairs[node] += lead + value
  }

  /** The pairs of an object with all below it, `count` of them. */
  text(id: number): string {
    const node = this.#nodes[id]
    let text = this.#pairs[id]
    let count = this.#counts[id]
    for (const child of node.children) {
      const inner = this.text(child.id)
      if (this.count === 0) continue
      text += (count++ === 0 && !node.isOpen ? child.first : child.later) + this.#notation.map(inner, this.count)
    }
    this.count = count
    return text
  }

  #place(node: number, name: string): Place {
    const later = this.#notation.lead(name)
    return { node, first: this.#notation.first(later), later }
  }
}
