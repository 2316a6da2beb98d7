/** What is wrong with a collector's configuration beyond its structure, each at its line. */
import { isMap, isPair, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument, visit, type YAMLMap } from 'yaml'
import { ApiError, type Schemas } from '../services/api'
import { type Components, KINDS, type Kind } from './schema'

export interface Problem {
  severity: 'error' | 'warning'
  message: string
  line: number
  column: number
  endColumn: number
}

/** What the server says of a text; what has no line is said at the first. */
export function told(places: Schemas['ProblemPlace'][]): Problem[] {
  return places.map(({ line, column, message }) => ({
    severity: 'error',
    message,
    line: line ?? 1,
    column: column ?? 1,
    endColumn: (column ?? 1) + 1,
  }))
}

/** What the server refused of a text. */
export const refusalsOf = (error: unknown): Problem[] =>
  error instanceof ApiError && error.status === 422 ? told(error.problem.errors ?? []) : []

/** Agents that were built alike. */
export interface Built {
  instance_ids: string[]
  /** Types by kind; null where they did not tell. */
  components: Components | null
}

/** A component that a configuration defines and some agents do not have. */
export interface Lack {
  kind: Kind
  type: string
  line: number
  column: number
  endColumn: number
  instance_ids: string[]
}

/** What a configuration wants of agents that they were not built with; those that did not tell count as having it. */
export function lacks(text: string, built: Built[]): Lack[] {
  const lines = new LineCounter()
  const root = parseDocument(text, { lineCounter: lines, logLevel: 'silent' }).contents
  const found = new Map<string, Lack>()
  for (const kind of KINDS) {
    const section = isMap(root) ? root.get(kind, true) : undefined
    for (const { key } of isMap(section) ? section.items : []) {
      if (!isScalar(key) || !key.range) continue
      const type = String(key.value).split('/')[0]!
      const without = built.filter(({ components }) => components?.[kind]?.length && !components[kind].includes(type))
      if (!without.length || found.has(`${kind}/${type}`)) continue
      const { line, col } = lines.linePos(key.range[0])
      found.set(`${kind}/${type}`, {
        kind,
        type,
        line,
        column: col,
        endColumn: col + type.length,
        instance_ids: without.flatMap((one) => one.instance_ids),
      })
    }
  }
  return [...found.values()].sort((a, b) => b.instance_ids.length - a.instance_ids.length)
}

// What FlowGate puts in place of a secret: all of a value, a password in an address, an issued token.
const MASK = /^\s*\[REDACTED\]\s*$|:\/\/[^/\s:@]+:\[REDACTED\]@|fg[aetm]_\*{20,}/

/** What all agents that told have, by kind. */
export function shared(built: Built[]): Components {
  const told = built.flatMap(({ components }) => (components ? [components] : []))
  return Object.fromEntries(
    KINDS.map((kind) => [kind, (told[0]?.[kind] ?? []).filter((type) => told.every((one) => one[kind]?.includes(type)))]),
  )
}

/** Syntax, components that are used and not defined or defined and not used, and those that the agent does not have. */
export function check(text: string, available: Components, agent = 'This agent'): Problem[] {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true })
  const found: Problem[] = []
  const add = (severity: Problem['severity'], message: string, range: readonly number[] | null | undefined) => {
    const begin = lines.linePos(range?.[0] ?? 0)
    const end = lines.linePos(Math.max(range?.[1] ?? 0, (range?.[0] ?? 0) + 1))
    found.push({
      severity,
      message,
      line: begin.line,
      column: begin.col,
      endColumn: end.line === begin.line ? end.col : begin.col + 1,
    })
  }
  for (const error of document.errors) add('error', error.message, error.pos)
  if (document.errors.length) return found
  if (!text.trim()) return [{ severity: 'error', message: 'It is empty.', line: 1, column: 1, endColumn: 2 }]
  const root = document.contents as Node | null
  if (!isMap(root)) {
    add('error', 'A configuration is a mapping: receivers, processors, exporters, service.', root?.range)
    return found
  }

  visit(document, {
    Scalar(_, node) {
      if (typeof node.value !== 'string' || !MASK.test(node.value)) return
      add('error', `Here stood a secret, which FlowGate does not keep. Write it, or a reference such as \${env:NAME}.`, node.range)
    },
  })

  const defined = {} as Record<Kind, Map<string, Node>>
  for (const kind of KINDS) {
    defined[kind] = new Map()
    const section = root.get(kind, true)
    for (const pair of isMap(section) ? section.items : []) {
      const key = pair.key as Node
      const name = isScalar(key) ? String(key.value) : ''
      defined[kind].set(name, key)
      const type = name.split('/')[0]!
      const known = available[kind]
      if (known?.length && !known.includes(type)) {
        add('error', `${agent} has no ${kind.slice(0, -1)} “${type}”: it was not built with it.`, key.range)
      }
    }
  }

  const used = new Set<string>()
  const service = root.get('service', true)
  if (!isMap(service)) {
    add('warning', 'Without service.pipelines nothing runs.', root.range && [root.range[0], root.range[0] + 1])
    return found
  }
  const use = (kinds: Kind[], item: unknown, where: string) => {
    if (!isScalar(item)) return
    const name = String(item.value)
    const kind = kinds.find((one) => defined[one].has(name))
    if (kind) used.add(`${kind}/${name}`)
    else add('error', `“${name}” is used in ${where} and not defined under ${kinds.join(' or ')}.`, item.range)
  }
  const extensions = service.get('extensions', true)
  for (const item of isSeq(extensions) ? extensions.items : []) use(['extensions'], item, 'service.extensions')
  const pipelines = service.get('pipelines', true)
  const pairs: Pair[] = isMap(pipelines) ? (pipelines as YAMLMap).items.filter(isPair) : []
  if (!pairs.length) add('warning', 'There are no pipelines: nothing runs.', service.range && [service.range[0], service.range[0] + 1])
  for (const pair of pairs) {
    const name = String((pair.key as { value?: unknown }).value)
    if (!isMap(pair.value)) continue
    for (const [role, kinds] of [
      ['receivers', ['receivers', 'connectors']],
      ['processors', ['processors']],
      ['exporters', ['exporters', 'connectors']],
    ] as [string, Kind[]][]) {
      const list = pair.value.get(role, true)
      for (const item of isSeq(list) ? list.items : []) use(kinds, item, `pipeline ${name}`)
      if (role === 'processors' && isSeq(list)) limiterFirst(list.items)
    }
  }
  function limiterFirst(items: unknown[]) {
    const names = items.map((item) => (isScalar(item) ? String(item.value).split('/')[0] : ''))
    const place = names.indexOf('memory_limiter')
    if (place > 0) add('warning', 'memory_limiter belongs first: what comes before it is not limited.', (items[place] as Node).range)
  }
  for (const kind of KINDS) {
    for (const [name, node] of defined[kind]) {
      if (!used.has(`${kind}/${name}`)) add('warning', `${kind.slice(0, -1)} “${name}” is defined and not used.`, node.range)
    }
  }
  return found.sort((a, b) => a.line - b.line)
}
