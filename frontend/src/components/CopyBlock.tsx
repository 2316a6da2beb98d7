import { ActionIcon, Box, CopyButton, Tooltip } from '@mantine/core'
import { IconCheck, IconCopy } from '@tabler/icons-react'

/** Text to be copied: a command or a file. */
export function CopyBlock({ text, label }: { text: string; label: string }) {
  return (
    <Box pos="relative" bg="var(--fg-canvas)" p="sm" pr={44} bdrs="sm" bd="1px solid var(--mantine-color-default-border)">
      <pre role="region" className="fg-pre" tabIndex={0} aria-label={label}>
        {text}
      </pre>
      <CopyButton value={text}>
        {({ copied, copy }) => (
          <Tooltip label={copied ? 'Copied' : 'Copy'}>
            <ActionIcon pos="absolute" top={6} right={6} onClick={copy} aria-label={`Copy ${label}`}>
              {copied ? <IconCheck size={16} /> : <IconCopy size={16} />}
            </ActionIcon>
          </Tooltip>
        )}
      </CopyButton>
    </Box>
  )
}
