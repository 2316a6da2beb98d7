import { Button, Group, Select, Switch, Text, TextInput } from '@mantine/core'
import { useDebouncedValue } from '@mantine/hooks'
import { IconArrowDown, IconDownload, IconSearch } from '@tabler/icons-react'
import { useInfiniteQuery, useQueryClient } from '@tanstack/react-query'
import { useVirtualizer } from '@tanstack/react-virtual'
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react'
import { type LogQuery, type LogRecord, supervisorApi } from '../services/api'
import { keys } from '../services/queries'
import classes from './LogViewer.module.css'
import { MOST, useTail } from './logs'
import { exactly } from './RelativeTime'
import { Empty, Failed, Waiting } from './States'

const PAGE = 200
const LINE_PIXELS = 22
const NEAR_PIXELS = 40 // from the end counts as at the end

const TONES: Record<LogRecord['severity'], string> = {
  TRACE: 'calm',
  DEBUG: 'calm',
  INFO: 'blue',
  WARN: 'warn',
  ERROR: 'bad',
  FATAL: 'bad',
}

/** Records of an agent's supervisor and collector, newest at the bottom; following shows them as they come. */
export function LogViewer({ id, name }: { id: string; name: string }) {
  const [text, setText] = useState('')
  const [q] = useDebouncedValue(text.trim(), 300)
  const [severity, setSeverity] = useState<LogQuery['severity']>(null)
  const [source, setSource] = useState<LogQuery['source']>(null)
  const [isFollowing, setFollowing] = useState(true)
  const [isAtEnd, setAtEnd] = useState(true)
  const queryClient = useQueryClient()
  const filters = useMemo(
    () => ({ ...(q ? { q } : {}), ...(severity ? { severity } : {}), ...(source ? { source } : {}) }),
    [q, severity, source],
  )
  const queryKey = useMemo(() => [...keys.logs(id), filters], [id, filters])
  const query = useInfiniteQuery({
    queryKey,
    queryFn: ({ pageParam }) =>
      supervisorApi.getLogs(id, { ...filters, limit: PAGE, ...(pageParam ? { cursor: pageParam } : {}) }),
    initialPageParam: '',
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
    refetchOnWindowFocus: false,
  })
  const isReady = query.data !== undefined
  const again = useCallback(() => void queryClient.resetQueries({ queryKey }), [queryClient, queryKey])
  // What one reads stays where it is: new records wait until one goes to the end, or follows again.
  const tail = useTail(id, filters, query.data?.pages[0]?.tail ?? undefined, !isFollowing || !isAtEnd, again)

  const stored = useMemo(() => (query.data?.pages ?? []).flatMap((page) => page.items).reverse(), [query.data])
  const records = useMemo(() => {
    const known = new Set(stored.map((one) => one.id)) // what was stored while the page was read is in both
    return [...stored, ...tail.shown.filter((one) => !known.has(one.id))]
  }, [stored, tail.shown])
  const count = records.length

  const scroller = useRef<HTMLDivElement>(null)
  const getItemKey = useCallback((index: number) => records[index]?.id ?? index, [records])
  const virtual = useVirtualizer({
    count,
    getScrollElement: () => scroller.current,
    estimateSize: () => LINE_PIXELS,
    getItemKey,
    overscan: 20,
    initialRect: { width: 900, height: 500 },
  })
  const isAtEndNow = isFollowing && isAtEnd
  useEffect(() => {
    if (isAtEndNow && count) virtual.scrollToIndex(count - 1, { align: 'end' })
  }, [count, isAtEndNow, virtual])
  const lastTop = useRef(0)
  const onScroll = useCallback(() => {
    const box = scroller.current
    if (!box) return
    const isNear = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PIXELS
    // Only somebody goes up; going down to the end, the list gets taller under way.
    if (isNear) setAtEnd(true)
    else if (box.scrollTop < lastTop.current) setAtEnd(false)
    lastTop.current = box.scrollTop
  }, [])
  const follow = (wanted: boolean) => {
    setFollowing(wanted)
    setAtEnd(true)
  }

  // Older records come above; the one at the top stays there.
  const top = useRef<{ id: string; pixels: number } | undefined>(undefined)
  const older = () => {
    const offset = scroller.current?.scrollTop ?? 0
    const first = virtual.getVirtualItems().find((item) => item.end > offset)
    top.current = first && { id: records[first.index]!.id, pixels: offset - first.start }
    setAtEnd(false)
    void query.fetchNextPage()
  }
  const oldest = stored[0]?.id
  useLayoutEffect(() => {
    const kept = top.current
    if (!kept || kept.id === oldest) return
    top.current = undefined
    const start = virtual.measurementsCache[stored.findIndex((one) => one.id === kept.id)]?.start
    if (scroller.current && start !== undefined) scroller.current.scrollTop = start + kept.pixels
  }, [oldest, stored, virtual])

  const download = () => {
    const lines = records.map((one) => `${one.timestamp ?? ''} ${one.severity} ${one.source} ${one.body} ${JSON.stringify(one.attributes)}`)
    const link = document.createElement('a')
    link.href = URL.createObjectURL(new Blob([`${lines.join('\n')}\n`], { type: 'text/plain' }))
    link.download = `${name.replace(/[^\w.-]+/g, '_')}.log`
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 1000)
  }

  return (
    <>
      <Group gap="xs" mb="xs">
        <TextInput
          data-search
          aria-label="Search logs"
          placeholder="Search  ( / )"
          leftSection={<IconSearch size={14} />}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
          w={220}
        />
        <Select
          aria-label="Severity"
          placeholder="Any severity"
          clearable
          w={150}
          data={['DEBUG', 'INFO', 'WARN', 'ERROR'].map((value) => ({ value, label: `${value} and above` }))}
          value={severity ?? null}
          onChange={(value) => setSeverity(value as LogQuery['severity'])}
        />
        <Select
          aria-label="Source"
          placeholder="Any source"
          clearable
          w={130}
          data={['supervisor', 'collector', 'flowgate']}
          value={source ?? null}
          onChange={(value) => setSource(value as LogQuery['source'])}
        />
        <Switch label="Follow" checked={isFollowing} onChange={(event) => follow(event.currentTarget.checked)} />
        <Button variant="default" leftSection={<IconDownload size={14} />} onClick={download} disabled={!count}>
          Download {count.toLocaleString()}
        </Button>
        {tail.isBroken && (
          <Text size="xs" c="var(--fg-warn)" role="status">
            The live tail is interrupted; it comes back by itself.
          </Text>
        )}
      </Group>
      {query.isError && <Failed error={query.error} retry={() => void query.refetch()} what="The logs cannot be read" />}
      {query.isPending && <Waiting query={query} rows={10} />}
      {isReady && query.hasNextPage && (
        <Button variant="subtle" fullWidth loading={query.isFetchingNextPage} onClick={older}>
          Older records
        </Button>
      )}
      {isReady && !count && (
        <Empty title={q || severity || source ? `No ${query.hasNextPage ? 'recent ' : ''}record fits the filters` : 'No records yet'}>
          {q || severity || source
            ? undefined
            : 'They come when the supervisor takes connection settings with own_logs, or sends its own by its telemetry section.'}
        </Empty>
      )}
      {count > 0 && (
        <div ref={scroller} className={classes.scroller} onScroll={onScroll} tabIndex={0} role="log" aria-label={`Logs of ${name}`} aria-live="off">
          <div style={{ height: virtual.getTotalSize(), position: 'relative' }}>
            {virtual.getVirtualItems().map((item) => (
              <div
                key={item.key}
                ref={virtual.measureElement}
                data-index={item.index}
                className={classes.line}
                style={{ transform: `translateY(${item.start}px)` }}
              >
                <Record record={records[item.index]!} />
              </div>
            ))}
          </div>
        </div>
      )}
      {tail.held.length > 0 && (
        <Button variant="light" fullWidth leftSection={<IconArrowDown size={14} />} onClick={() => follow(true)}>
          {tail.held.length > MOST ? `More than ${MOST.toLocaleString()}` : tail.held.length.toLocaleString()} new: follow them
        </Button>
      )}
    </>
  )
}

function Record({ record }: { record: LogRecord }) {
  const at = record.timestamp
  // Where in its source a collector logs is in the download; here it hides what is said.
  const more = Object.entries(record.attributes).filter(([key]) => !key.startsWith('code.'))
  return (
    <>
      <time className={classes.time} dateTime={at ?? undefined} title={at ? exactly(at) : undefined}>
        {at ? new Date(at).toLocaleTimeString(undefined, { hour12: false }) : '–'}
      </time>
      <span className={classes.severity} style={{ color: `var(--fg-${TONES[record.severity]})` }}>
        {record.severity}
      </span>
      <span className={classes.source}>{record.source}</span>
      <span className={classes.body}>
        {record.body}
        {more.length > 0 && (
          <span className={classes.more}>
            {' '}
            {more.map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`).join(' ')}
          </span>
        )}
      </span>
    </>
  )
}
