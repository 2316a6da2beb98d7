/** Where in a configuration something is that the collector tells of. */

const SECTIONS = new Set(['receivers', 'processors', 'exporters', 'extensions', 'connectors', 'service', 'pipelines', 'telemetry'])

/** What the collector's words are about: the line that they name by number, else one that holds a word that they quote. */
export function failingPlace(config: string, error: string): { line: number; words: string } | null {
  const lines = config.split('\n')
  const saying = (word: string) => (error.split('\n').find((one) => one.includes(word)) ?? error).trim()
  const named = /\bline (\d+)/i.exec(error)
  if (named && Number(named[1]) <= lines.length) return { line: Number(named[1]), words: saying(named[0]) }
  const quoted = [...error.matchAll(/["'`]([\w./-]{2,60})["'`]/g)].map((match) => match[1]!)
  const paths = [...error.matchAll(/\b[a-z]\w*::([\w./-]+)/g)].map((match) => match[1]!)
  // A component says more than the section that it is in.
  const found = [...quoted, ...paths].sort((a, b) => Number(SECTIONS.has(a)) - Number(SECTIONS.has(b)))
  const asKey = (word: string) =>
    lines.findIndex((line) => new RegExp(`^\\s*-?\\s*["']?${word.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')}["']?\\s*:`).test(line))
  for (const search of [asKey, (word: string) => lines.findIndex((line) => line.includes(word))]) {
    for (const word of found.filter((one) => !SECTIONS.has(one))) {
      if (search(word) >= 0) return { line: search(word) + 1, words: saying(word) }
    }
  }
  const section = found.find((word) => asKey(word) >= 0)
  return section ? { line: asKey(section) + 1, words: saying(section) } : null
}

const indent = (line: string) => line.length - line.trimStart().length
const isContent = (line: string) => /^\s*[^\s#]/.test(line)
const unquoted = (text: string) => text.trim().replace(/^(["'])(.*)\1$/, '$2')

/**
 * The line of a key such as receivers.otlp, or within it the one whose value the words repeat, such as an address.
 *
 * As deep as the text has the key; null when it has not even its section. `line 3` is a key too.
 */
export function lineOfKey(config: string, key: string, words: string): number | null {
  const lines = config.split('\n')
  const named = /^line (\d+)$/.exec(key)
  if (named) return Number(named[1]) <= lines.length ? Number(named[1]) : null
  let [at, end] = [-1, lines.length]
  for (const name of key.split('.')) {
    const below = lines.map((line, index) => ({ line, index })).slice(at + 1, end).filter(({ line }) => isContent(line))
    const depth = Math.min(...below.map(({ line }) => indent(line)))
    const found = below.find(({ line }) => indent(line) === depth && unquoted(line.split(/:(?:\s|$)/)[0]!) === name)
    if (!found) break
    at = found.index
    const after = lines.findIndex((line, index) => index > at && isContent(line) && indent(line) <= depth)
    if (after >= 0) end = Math.min(end, after)
  }
  if (at < 0) return null
  const repeated = lines.slice(at, end).findIndex((line) => {
    const value = unquoted(/:\s+(.*)$/.exec(line)?.[1] ?? '')
    return value.length > 3 && words.includes(value)
  })
  return at + Math.max(repeated, 0) + 1
}
