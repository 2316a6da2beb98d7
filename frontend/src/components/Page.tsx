import { Group, Stack, Text, Title } from '@mantine/core'
import { type ReactNode, useEffect } from 'react'

/** A page with its heading; names the browser's tab. */
export function Page({
  title,
  aside,
  actions,
  children,
}: {
  title: string
  aside?: ReactNode
  actions?: ReactNode
  children: ReactNode
}) {
  useEffect(() => {
    document.title = `${title} · FlowGate`
  }, [title])
  return (
    <Stack gap="sm" h="100%" className="fg-page">
      <Group justify="space-between" gap="sm" mih={32}>
        <Group gap="sm" align="baseline">
          <Title order={1} size="h3">
            {title}
          </Title>
          {aside && (
            <Text size="sm" c="dimmed" component="div">
              {aside}
            </Text>
          )}
        </Group>
        <Group gap="xs">{actions}</Group>
      </Group>
      {children}
    </Stack>
  )
}
