import { describe, expect, it } from 'vitest'
import { check } from './checks'
import { hasPipelines } from './effective'
import { exampleOf } from './example'

describe('the example', () => {
  it('has no problem with a collector that was built with what it uses', () => {
    const available = { receivers: ['otlp'], exporters: ['debug', 'otlp'] }
    expect(check(exampleOf(available)!, available)).toEqual([])
  })
  it('is there for a collector that told nothing, and not for one that lacks a part of it', () => {
    expect(exampleOf({})).not.toBeNull()
    expect(exampleOf({ receivers: ['nop'], exporters: ['debug'] })).toBeNull()
  })
})

describe('pipelines', () => {
  it.each([
    ['service: {pipelines: {}}', false],
    ['', false],
    ['service:\n  pipelines:\n    logs: {receivers: [nop]}', true],
    ['a: b: c', true],
  ])('%j', (text, expected) => expect(hasPipelines(text)).toBe(expected))
})
