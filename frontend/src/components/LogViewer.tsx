import { Button, Group, Select, Switch, Text, TextInput } from '@mantine/core'
import { useDebouncedValue } from '@mantine/hooks'
import { IconDownload, IconSearch } from '@tabler/icons-react'
import { useInfiniteQuery } from '@tanstack/react-query'
import { useVirtualizer } from '@tanstack/react-virtual'
import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { type LogQuery, type LogRecord, logStreamUrl, supervisorApi } from '../services/api'
import { keys } from '../services/queries'
import classes from './LogViewer.module.css'
import { exactly } from './RelativeTime'
import { Empty, Failed, Loading } from './States'

const PAGE = 200
const KEPT = 5000 // live records; older ones are asked for again

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
  const [live, setLive] = useState<LogRecord[]>([])
  const [isBroken, setBroken] = useState(false)
  const filters = useMemo(
    () => ({ ...(q ? { q } : {}), ...(severity ? { severity } : {}), ...(source ? { source } : {}) }),
    [q, severity, source],
  )
  const query = useInfiniteQuery({
    queryKey: [...keys.logs(id), filters],
    queryFn: ({ pageParam }) =>
      supervisorApi.getLogs(id, { ...filters, limit: PAGE, ...(pageParam ? { cursor: pageParam } : {}) }),
    initialPageParam: '',
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
    refetchOnWindowFocus: false,
  })
  const isReady = query.data !== undefined
  useEffect(() => {
    setLive([])
    if (!isFollowing || !isReady || typeof EventSource === 'undefined') return
    const stream = new EventSource(logStreamUrl(id, filters))
    let waiting: LogRecord[] = []
    let timer: ReturnType<typeof setTimeout> | undefined
    stream.addEventListener('log', (message) => {
      waiting.push(JSON.parse((message as MessageEvent<string>).data) as LogRecord)
      timer ??= setTimeout(() => {
        timer = undefined
        const fresh = waiting
        waiting = []
        setLive((known) => [...known, ...fresh].slice(-KEPT))
      }, 200)
    })
    stream.onopen = () => setBroken(false)
    stream.onerror = () => setBroken(true)
    return () => {
      clearTimeout(timer)
      stream.close()
    }
  }, [id, filters, isFollowing, isReady])

  const stored = useMemo(() => (query.data?.pages ?? []).flatMap((page) => page.items).reverse(), [query.data])
  const records = useMemo(() => {
    const last = stored.slice(-PAGE).map((one) => `${one.timestamp}${one.source}${one.body}`)
    const known = new Set(last)
    return [...stored, ...live.filter((one) => !known.has(`${one.timestamp}${one.source}${one.body}`))]
  }, [stored, live])

  const scroller = useRef<HTMLDivElement>(null)
  const virtual = useVirtualizer({
    count: records.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => 22,
    overscan: 20,
    initialRect: { width: 900, height: 500 },
  })
  const isAtEnd = useRef(true)
  const count = records.length
  useEffect(() => {
    if (isFollowing && isAtEnd.current && count) virtual.scrollToIndex(count - 1, { align: 'end' })
  }, [count, isFollowing, virtual])
  const onScroll = useCallback(() => {
    const box = scroller.current
    if (box) isAtEnd.current = box.scrollHeight - box.scrollTop - box.clientHeight < 40
  }, [])

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
        <Switch label="Follow" checked={isFollowing} onChange={(event) => setFollowing(event.currentTarget.checked)} />
        <Button variant="default" leftSection={<IconDownload size={14} />} onClick={download} disabled={!count}>
          Download {count.toLocaleString()}
        </Button>
        {isFollowing && isBroken && (
          <Text size="xs" c="var(--fg-warn)" role="status">
            The live tail is interrupted; it comes back by itself.
          </Text>
        )}
      </Group>
      {query.isError && <Failed error={query.error} retry={() => void query.refetch()} what="The logs cannot be read" />}
      {query.isPending && <Loading rows={10} />}
      {isReady && !count && (
        <Empty title={q || severity || source ? 'No record fits the filters' : 'No records yet'}>
          {q || severity || source
            ? undefined
            : 'They come when the supervisor takes connection settings with own_logs, or sends its own by its telemetry section.'}
        </Empty>
      )}
      {count > 0 && (
        <div ref={scroller} className={classes.scroller} onScroll={onScroll} tabIndex={0} role="log" aria-label={`Logs of ${name}`} aria-live="off">
          {query.hasNextPage && (
            <Button variant="subtle" fullWidth loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
              Older records
            </Button>
          )}
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
