import { Group, Stack, Text, TextInput } from '@mantine/core'
import { IconDownload } from '@tabler/icons-react'
import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { ActionButton } from './ActionButton'
import { bundleFiles, downloadBundle, whyNoBundle } from './bundle'
import type { Choice } from './commands'
import { CopyBlock } from './CopyBlock'
import { Failed } from './States'

/** A ready folder for Docker Compose, with the token in it, and what is typed to start it. */
export function BundleDownload({ choice, name }: { choice: Choice; name: string }) {
  const [hostName, setHostName] = useState(name)
  const folder = `flowgate-${hostName}`
  const download = useMutation({ mutationFn: () => downloadBundle(folder, bundleFiles(choice, hostName)) })
  return (
    <Stack gap="xs" role="group" aria-label="Ready folder">
      <Text size="sm" fw={600}>
        Or take a ready folder for Docker Compose
      </Text>
      <Text size="sm">
        Compose file, both configurations and an .env with the token, which is yours alone to read. It can change modes later by
        USE_SUPERVISOR in .env, and stays the same gateway.
      </Text>
      <Group align="end" gap="sm">
        <TextInput
          label="Host name of the container"
          description="It names the agent"
          w={240}
          value={hostName}
          onChange={(event) => setHostName(event.currentTarget.value.trim())}
        />
        <ActionButton
          leftSection={<IconDownload size={14} />}
          reason={whyNoBundle(choice.url, hostName)}
          loading={download.isPending}
          onClick={() => download.mutate()}
        >
          Download {folder}.tar.gz
        </ActionButton>
      </Group>
      {download.isError && <Failed error={download.error} what="The folder could not be made" />}
      <CopyBlock
        text={`tar -xzf ${folder}.tar.gz && cd ${folder} && docker compose up -d --wait\n`}
        label="Unpack the folder and start it"
      />
    </Stack>
  )
}
