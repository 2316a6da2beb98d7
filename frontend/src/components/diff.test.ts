import { describe, expect, it } from 'vitest'
import { sideBySide } from './diff'

describe('side by side', () => {
  it('keeps what is the same on one line and pairs what was changed', () => {
    const lines = sideBySide('a\nb\nc\nd\n', 'a\nB\nc\nd\ne\n')
    expect(lines.map((one) => [one.left?.text, one.right?.text, one.isSame])).toEqual([
      ['a', 'a', true],
      ['b', 'B', false],
      ['c', 'c', true],
      ['d', 'd', true],
      [undefined, 'e', false],
    ])
    expect(lines.at(-1)?.right?.number).toBe(5)
  })
  it('gives back both texts, whatever they are', () => {
    for (const [left, right] of [
      ['', 'x'],
      ['x\ny\nx', 'y\nx\ny'],
      ['same', 'same'],
      ['a\na\nb', 'b\na\na'],
    ] as const) {
      const lines = sideBySide(left, right)
      expect(lines.flatMap((one) => one.left?.text ?? []).join('\n')).toBe(left)
      expect(lines.flatMap((one) => one.right?.text ?? []).join('\n')).toBe(right)
    }
  })
})
