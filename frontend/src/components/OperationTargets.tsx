import { Button, Group, ScrollArea, SegmentedControl, Stack, Table, TextInput } from '@mantine/core'
import { useDebouncedValue } from '@mantine/hooks'
import { IconSearch } from '@tabler/icons-react'
import { keepPreviousData, useInfiniteQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { Link } from 'react-router'
import { type Operation, operationApi, type Target } from '../services/api'
import { keys } from '../services/queries'
import { agents } from './counts'
import { RelativeTime } from './RelativeTime'
import { Empty, Failed, Waiting } from './States'

const TONES = { waiting: 'calm', running: 'blue', succeeded: 'good', failed: 'bad', skipped: 'warn' } as const
const NAMES: Record<Target['state'], string> = {
  failed: 'failed',
  running: 'running',
  waiting: 'waiting',
  skipped: 'left out',
  succeeded: 'succeeded',
}
const PAGE = 100
const POLL_MILLISECONDS = 3000

/** The agents of an operation with what came of each, in the order in which they are begun: rows keep their places. */
export function OperationTargets({ operation }: { operation: Operation }) {
  const id = operation.operation_id ?? ''
  const queryClient = useQueryClient()
  const [state, setState] = useState<Target['state'] | 'all'>('all')
  const [text, setText] = useState('')
  const [q] = useDebouncedValue(text.trim(), 250)
  const filters = { ...(state === 'all' ? {} : { state: [state] }), ...(q ? { q } : {}) }
  const queryKey = [...keys.operation(id), 'targets', filters]
  const query = useInfiniteQuery({
    queryKey,
    queryFn: ({ pageParam }) => operationApi.targets(id, { ...filters, limit: PAGE, ...(pageParam ? { cursor: pageParam } : {}) }),
    initialPageParam: '',
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    placeholderData: keepPreviousData,
    refetchInterval: operation.is_over ? false : POLL_MILLISECONDS,
  })
  // The last outcomes come with the end.
  useEffect(() => {
    if (operation.is_over) void queryClient.invalidateQueries({ queryKey: [...keys.operation(id), 'targets'] })
  }, [queryClient, id, operation.is_over])
  const targets = query.data?.pages.flatMap((page) => page.items) ?? []
  const total = query.data?.pages.at(-1)?.total ?? 0
  const states = (Object.keys(NAMES) as Target['state'][]).filter((one) => operation[one] > 0 || one === state)
  return (
    <Stack gap="xs">
      <Group gap="xs">
        <TextInput
          data-search
          w={220}
          aria-label="Search agents of the operation"
          placeholder="Name, id, reason  ( / )"
          leftSection={<IconSearch size={14} />}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
        />
        <SegmentedControl
          aria-label="Outcome"
          value={state}
          onChange={(value) => setState(value as typeof state)}
          data={[
            { value: 'all', label: 'All' },
            ...states.map((one) => ({ value: one, label: `${operation[one].toLocaleString()} ${NAMES[one]}` })),
          ]}
        />
      </Group>
      {query.isError && <Failed error={query.error} retry={() => void query.refetch()} what="Its agents cannot be listed" />}
      {query.isPending && <Waiting query={query} />}
      {query.data && !targets.length && <Empty title="No agent of the operation fits" />}
      {targets.length > 0 && (
        <ScrollArea.Autosize mah="56vh" tabIndex={0}>
          <Table aria-label="Agents of the operation">
            <Table.Thead>
              <Table.Tr>
                {['Agent', 'Outcome', 'Why', 'When'].map((title) => (
                  <Table.Th key={title}>{title}</Table.Th>
                ))}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {targets.map((target) => (
                <Table.Tr key={target.instance_id}>
                  <Table.Td>
                    <Link to={`/agents/${target.instance_id}`} className="fg-link">
                      {target.name}
                    </Link>
                  </Table.Td>
                  <Table.Td>
                    <span className="fg-pill" data-tone={TONES[target.state]}>
                      {NAMES[target.state]}
                    </span>
                  </Table.Td>
                  <Table.Td>{target.reason}</Table.Td>
                  <Table.Td>
                    <RelativeTime at={target.updated_at} never="–" />
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
          {query.hasNextPage && (
            <Button variant="subtle" fullWidth loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
              {`${targets.length.toLocaleString()} of ${agents(total)} are shown: show more`}
            </Button>
          )}
        </ScrollArea.Autosize>
      )}
    </Stack>
  )
}
