import { Stack, Text } from '@mantine/core'
import type { DiagnosisFinding } from '../services/api'
import { RelativeTime } from './RelativeTime'

/** What a statement rests on: who said it, when, and in which words. */
export function Evidence({ items }: { items: DiagnosisFinding['evidence'] }) {
  return (
    <Stack gap={4}>
      {items.map((one, index) => (
        // biome-ignore lint: evidence has no other name
        <div key={index} style={{ borderLeft: '3px solid var(--mantine-color-default-border)', paddingLeft: 8 }}>
          <Text size="xs" c="dimmed">
            {one.source} {one.timestamp && <RelativeTime at={one.timestamp} />}
          </Text>
          <pre className="fg-pre">{one.text}</pre>
        </div>
      ))}
    </Stack>
  )
}
