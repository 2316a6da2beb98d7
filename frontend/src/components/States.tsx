/** What is shown instead of content: nothing yet, nothing at all, or why there is none. */
import { Alert, Button, Center, Group, Skeleton, Stack, Text } from '@mantine/core'
import { IconAlertTriangle, IconPlugConnectedX } from '@tabler/icons-react'
import type { UseQueryResult } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { ApiError } from '../services/api'
import { RelativeTime } from './RelativeTime'

export function Loading({ rows = 4, label = 'Loading' }: { rows?: number; label?: string }) {
  return (
    <Stack gap="xs" role="status" aria-label={label}>
      {Array.from({ length: rows }, (_, row) => (
        // biome-ignore lint: rows are all alike
        <Skeleton key={row} height={18} width={`${95 - ((row * 17) % 40)}%`} />
      ))}
    </Stack>
  )
}

export function Empty({ title, children, action }: { title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <Center py="xl">
      <Stack gap={6} align="center" maw={460}>
        <Text fw={600}>{title}</Text>
        {children && (
          <Text size="sm" c="dimmed" ta="center">
            {children}
          </Text>
        )}
        {action}
      </Stack>
    </Center>
  )
}

/** A failure in the API's own words, with its request id and a way to try again. */
export function Failed({ error, retry, what }: { error: unknown; retry?: () => void; what?: string }) {
  const known = error instanceof ApiError ? error : undefined
  const isOffline = known?.isOffline ?? false
  const title = isOffline ? 'FlowGate cannot be reached' : (what ?? known?.problem.title ?? 'Something went wrong')
  return (
    <Alert
      color={isOffline ? 'yellow' : 'red'}
      title={title}
      icon={isOffline ? <IconPlugConnectedX size={18} /> : <IconAlertTriangle size={18} />}
      role="alert"
    >
      <Group justify="space-between" gap="sm">
        <Text size="sm">
          {isOffline ? 'What you typed stays; try again when it is back.' : error instanceof Error ? error.message : String(error)}
          {known?.problem.request_id && (
            <Text span size="xs" c="dimmed" className="fg-mono">
              {' '}
              request {known.problem.request_id}
            </Text>
          )}
        </Text>
        {retry && (
          <Button variant="default" onClick={retry}>
            Try again
          </Button>
        )}
      </Group>
    </Alert>
  )
}

// The page's banner tells of an absent FlowGate, and sign-in of a session that has ended.
const isToldElsewhere = (error: unknown) => error instanceof ApiError && (error.isOffline || error.status === 401)

/** That what is shown could not be refreshed, and as of when it is. */
export function AsOf({ error, at }: { error: unknown; at: number }) {
  if (!error || isToldElsewhere(error)) return null
  return (
    <Text size="xs" c="var(--fg-warn)" role="status">
      {at ? (
        <>
          As of <RelativeTime at={new Date(at).toISOString()} />, it cannot be refreshed:{' '}
        </>
      ) : (
        'It cannot be told now: '
      )}
      {error instanceof Error ? error.message : String(error)}
    </Text>
  )
}

/** What is being loaded, and why that takes longer. */
export function Waiting({ query, rows }: { query: { failureReason: Error | null }; rows?: number }) {
  const reason = query.failureReason
  return (
    <>
      {reason && !isToldElsewhere(reason) && (
        <Text size="xs" c="var(--fg-warn)" role="status" mb="xs">
          {reason.message}. Trying again…
        </Text>
      )}
      <Loading rows={rows} />
    </>
  )
}

/** Content of a query, or what stands in its place. What is known stays while a refresh fails, and says so. */
export function Shown<T>({
  query,
  children,
  rows,
  what,
}: {
  query: UseQueryResult<T>
  children: (data: T) => ReactNode
  rows?: number
  what?: string
}) {
  if (query.data !== undefined) {
    return (
      <>
        <AsOf error={query.error} at={query.dataUpdatedAt} />
        {children(query.data)}
      </>
    )
  }
  if (query.isError) return <Failed error={query.error} retry={() => void query.refetch()} what={what} />
  return <Waiting query={query} rows={rows} />
}
