import { Group, Kbd, ScrollArea, SegmentedControl, Stack, Text, UnstyledButton } from '@mantine/core'
import { useDebouncedValue } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { lazy, Suspense, useEffect, useMemo, useState } from 'react'
import { check, type Problem, told } from '../editor/checks'
import { draft, dropDraft, keepDraft } from '../editor/drafts'
import type { Components } from '../editor/schema'
import { queries } from '../services/queries'
import { Loading } from './States'

const MonacoBox = lazy(() => import('../editor/MonacoBox'))

interface Props {
  /** Under what the text is kept until it is sent. */
  draftKey: string
  /** Hash of the configuration that it is to replace. */
  base?: string
  initial: string
  /** What the target has got, when that is not what one began with. */
  sent?: string
  height?: number | string
  /** What runs now, to compare with. */
  effective?: string
  /** What somebody else has sent meanwhile, to compare with. */
  other?: string
  /** What the target was built with, by kind; empty where it did not tell. */
  available?: Components
  agent?: string
  /** What is offered to complete with, where there are several targets. */
  offered?: Components
  /** What the server said of the text, each at its line. */
  refusals?: Problem[]
  onChange: (text: string, problems: Problem[]) => void
  /** Another text to put in, such as an earlier version; a new object puts it in again. */
  replacement?: { text: string }
}

const CHECK_MILLISECONDS = 250
const ASK_MILLISECONDS = 700 // a text that is being typed on is not sent over and over
const NOTHING: Components = {}
const NONE: Problem[] = []

/** A collector's configuration: completed and checked as one types, compared with what runs, never lost. */
export default function SupervisorConfigEditor(props: Props) {
  const { draftKey, base, initial, sent = props.initial, height = '58vh', effective, other, available = NOTHING, agent, offered = available, refusals = NONE, onChange, replacement } = props
  const [first] = useState(() => draft(draftKey)?.text ?? initial)
  const [text, setText] = useState(first)
  const [view, setView] = useState('edit')
  const [schema, setSchema] = useState<Problem[]>(NONE)
  const [reveal, setReveal] = useState<{ line: number }>()
  const [settled] = useDebouncedValue(text, CHECK_MILLISECONDS)
  const [asked] = useDebouncedValue(text, ASK_MILLISECONDS)
  const own = useMemo(() => check(settled, available, agent), [settled, available, agent])
  // What is wrong at first sight the server need not be asked for.
  const isAsked = asked === settled && asked.trim() !== '' && !own.some((one) => one.severity === 'error')
  const answer = useQuery({ ...queries.validation(asked), enabled: isAsked })
  const marked = useMemo(
    () => [...own, ...refusals, ...(isAsked && answer.data ? told(answer.data) : NONE)],
    [own, refusals, isAsked, answer.data],
  )
  const problems = useMemo(() => {
    const byPlace = new Map<string, Problem>()
    const hasSyntax = own.some((one) => one.severity === 'error')
    // The schema repeats what the syntax check has said already.
    for (const one of [...marked, ...(hasSyntax && !schema.length ? NONE : schema)]) {
      byPlace.set(`${one.line} ${one.severity === 'error' && hasSyntax ? '' : one.message}`, byPlace.get(`${one.line} `) ?? one)
    }
    return [...byPlace.values()].sort((a, b) => a.line - b.line)
  }, [marked, own, schema])

  useEffect(() => {
    if (text === sent) dropDraft(draftKey)
    else keepDraft(draftKey, text, base)
  }, [draftKey, base, text, sent])
  useEffect(() => onChange(text, problems), [onChange, text, problems])

  const views: { value: string; label: string; text?: string }[] = [
    { value: 'edit', label: 'Edit' },
    ...(effective === undefined ? [] : [{ value: 'effective', label: 'Compare with effective', text: effective }]),
    ...(other === undefined ? [] : [{ value: 'other', label: 'Compare with the new one', text: other }]),
  ]
  const shown = views.find((one) => one.value === view) ?? views[0]!
  const errors = problems.filter((one) => one.severity === 'error').length
  const warnings = problems.length - errors
  return (
    <Stack gap="xs">
      <Group justify="space-between">
        {views.length < 2 ? (
          <span />
        ) : (
          <SegmentedControl aria-label="View" value={shown.value} onChange={setView} data={views} />
        )}
        <Group gap="xs" role="status" aria-label="Checks">
          {text !== sent && <span className="fg-pill">not sent yet</span>}
          {errors > 0 && (
            <span className="fg-pill" data-tone="bad">
              {errors} {errors === 1 ? 'error' : 'errors'}
            </span>
          )}
          {warnings > 0 && (
            <span className="fg-pill" data-tone="warn">
              {warnings} {warnings === 1 ? 'warning' : 'warnings'}
            </span>
          )}
          {isAsked && answer.isError && (
            <span className="fg-pill" data-tone="warn" title={answer.error.message}>
              not checked by FlowGate
            </span>
          )}
          {problems.length === 0 && (
            <span className="fg-pill" data-tone="good">
              no problems found
            </span>
          )}
        </Group>
      </Group>
      <Suspense fallback={<Loading rows={10} label="Loading the editor" />}>
        <MonacoBox
          initial={first}
          {...(replacement ? { replacement } : {})}
          onChange={setText}
          {...(shown.text === undefined ? {} : { original: shown.text })}
          height={height}
          label="Configuration"
          problems={marked}
          available={offered}
          onMarkers={setSchema}
          {...(reveal ? { reveal } : {})}
        />
      </Suspense>
      <Text size="xs" c="dimmed">
        Tab indents. <Kbd size="xs">Ctrl</Kbd> <Kbd size="xs">M</Kbd> (on a Mac <Kbd size="xs">⌃</Kbd> <Kbd size="xs">⇧</Kbd>{' '}
        <Kbd size="xs">M</Kbd>) lets it leave the editor.
      </Text>
      {problems.length > 0 && (
        <ScrollArea.Autosize mah={130} tabIndex={0}>
          <ul style={{ margin: 0, padding: 0, listStyle: 'none' }} aria-label="Problems">
            {problems.map((one) => (
              <li key={`${one.line} ${one.message}`}>
                <UnstyledButton onClick={() => setReveal({ line: one.line })} fz="xs">
                  <span style={{ color: `var(--fg-${one.severity === 'error' ? 'bad' : 'warn'})` }} aria-hidden>
                    {one.severity === 'error' ? '✕' : '!'}
                  </span>{' '}
                  <Text span fz="xs" c="dimmed">
                    line {one.line}
                  </Text>{' '}
                  {one.message}
                </UnstyledButton>
              </li>
            ))}
          </ul>
        </ScrollArea.Autosize>
      )}
    </Stack>
  )
}
