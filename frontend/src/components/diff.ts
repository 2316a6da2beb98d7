/** What differs between two texts, line by line. */

export interface Line {
  left?: { number: number; text: string }
  right?: { number: number; text: string }
  isSame: boolean
}

const LONGEST = 4000 // lines of a middle part that are compared exactly

/** Both texts side by side; lines that were changed stand beside each other. */
export function sideBySide(left: string, right: string): Line[] {
  const [a, b] = [left, right].map((text) => text.replace(/\n$/, '').split('\n')) as [string[], string[]]
  let head = 0
  while (head < a.length && head < b.length && a[head] === b[head]) head++
  let tail = 0
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++
  const lines: Line[] = []
  const same = (i: number, j: number) =>
    lines.push({ left: { number: i + 1, text: a[i]! }, right: { number: j + 1, text: b[j]! }, isSame: true })
  for (let i = 0; i < head; i++) same(i, i)
  const pending: { left: number[]; right: number[] } = { left: [], right: [] }
  const flush = () => {
    const count = Math.max(pending.left.length, pending.right.length)
    for (let i = 0; i < count; i++) {
      const [l, r] = [pending.left[i], pending.right[i]]
      lines.push({
        ...(l === undefined ? {} : { left: { number: l + 1, text: a[l]! } }),
        ...(r === undefined ? {} : { right: { number: r + 1, text: b[r]! } }),
        isSame: false,
      })
    }
    pending.left = []
    pending.right = []
  }
  for (const [i, j] of matches(a.slice(head, a.length - tail), b.slice(head, b.length - tail))) {
    if (i !== null && j !== null) {
      flush()
      same(i + head, j + head)
    } else if (i !== null) pending.left.push(i + head)
    else if (j !== null) pending.right.push(j + head)
  }
  flush()
  for (let k = tail; k > 0; k--) same(a.length - k, b.length - k)
  return lines
}

/** Longest common subsequence as pairs; null where one side has nothing. */
function matches(a: string[], b: string[]): [number | null, number | null][] {
  const found: [number | null, number | null][] = []
  if (a.length * b.length > LONGEST * LONGEST) {
    return [...a.map((_, i): [number, null] => [i, null]), ...b.map((_, j): [null, number] => [null, j])]
  }
  const width = b.length + 1
  const table = new Uint16Array((a.length + 1) * width)
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      table[i * width + j] =
        a[i] === b[j]
          ? table[(i + 1) * width + j + 1]! + 1
          : Math.max(table[(i + 1) * width + j]!, table[i * width + j + 1]!)
    }
  }
  let i = 0
  let j = 0
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) found.push([i++, j++])
    else if (j >= b.length || (i < a.length && table[(i + 1) * width + j]! >= table[i * width + j + 1]!)) found.push([i++, null])
    else found.push([null, j++])
  }
  return found
}
