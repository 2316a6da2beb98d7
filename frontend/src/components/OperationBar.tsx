import { Group, Text } from '@mantine/core'
import { Link } from 'react-router'
import type { OperationSummary } from '../services/api'
import classes from './CountBars.module.css'
import { RelativeTime } from './RelativeTime'

export const STATE_TONES = { running: 'blue', succeeded: 'good', failed: 'bad', cancelled: 'warn' } as const
export const actionText = (action: OperationSummary['action']) => (action === 'restart' ? 'Restart' : 'Send configuration')

/** How far a bulk operation is. */
export function OperationBar({ operation, isLink = true }: { operation: OperationSummary; isLink?: boolean }) {
  const { waiting, running, succeeded, failed, skipped } = operation
  const total = waiting + running + succeeded + failed + skipped
  const parts: [string, number, string][] = [
    ['done', succeeded, 'good'],
    ['failed', failed, 'bad'],
    ['under way', running, 'blue'],
    ['left out', skipped, 'warn'],
    ['waiting', waiting, 'calm'],
  ]
  return (
    <div>
      <Group justify="space-between" gap="xs" mb={4}>
        <Group gap="xs">
          <span className="fg-pill" data-tone={STATE_TONES[operation.state]}>
            {operation.state}
          </span>
          {isLink ? (
            <Link to={`/operations/${operation.operation_id}`} className="fg-link">
              {actionText(operation.action)}, {total.toLocaleString()} {total === 1 ? 'agent' : 'agents'}
            </Link>
          ) : (
            <Text size="sm" fw={600}>
              {actionText(operation.action)}, {total.toLocaleString()} {total === 1 ? 'agent' : 'agents'}
            </Text>
          )}
        </Group>
        <Text size="xs" c="dimmed">
          {operation.created_by} · <RelativeTime at={operation.created_at} />
        </Text>
      </Group>
      <div
        className={classes.bar}
        role="progressbar"
        aria-label={`${actionText(operation.action)}: agents with an outcome`}
        aria-valuemin={0}
        aria-valuemax={total}
        aria-valuenow={succeeded + failed + skipped}
      >
        {parts
          .filter(([, count]) => count > 0)
          .map(([name, count, tone]) => (
            <span key={name} style={{ flexGrow: count, background: `var(--fg-${tone})`, opacity: name === 'waiting' ? 0.35 : 1 }} />
          ))}
      </div>
      <Text size="xs" c="dimmed" mt={4}>
        {parts
          .filter(([, count]) => count > 0)
          .map(([name, count]) => `${count.toLocaleString()} ${name}`)
          .join(' · ')}
      </Text>
    </div>
  )
}
