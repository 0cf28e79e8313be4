import { expect, it } from 'vitest'
import { nearest } from '../../src/config/nearest.ts'

const KNOWN = ['token', 'batch', 'max_size', 'in_flight', 'elasticsearch', 'file']

it.each([
  ['tokn', 'token'],
  ['tokne', 'token'],
  ['maxSize', 'max_size'],
  ['in-flight', 'in_flight'],
  ['elastic_search', 'elasticsearch'],
  ['elasticserch', 'elasticsearch'],
  ['fil', 'file'],
  ['x', undefined],
  ['', undefined],
  ['completely', undefined],
])('finds for %j the name %j', (word, name) => {
  expect(nearest(word, KNOWN)).toBe(name)
})
