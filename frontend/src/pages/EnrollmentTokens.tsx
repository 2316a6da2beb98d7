import { Alert, Button, Group, Paper, Stack, Table } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { ActionButton } from '../components/ActionButton'
import { Dialog } from '../components/Dialog'
import { Labels } from '../components/Labels'
import { NewToken } from '../components/NewToken'
import { Page } from '../components/Page'
import { RelativeTime } from '../components/RelativeTime'
import { Empty, Failed, Shown } from '../components/States'
import { type EnrollmentToken, tokenApi } from '../services/api'
import { keys, queries } from '../services/queries'

const TONES = { live: 'good', used_up: 'calm', expired: 'calm', revoked: 'bad' } as const

/** Tokens with which agents come into the fleet. */
export default function EnrollmentTokens() {
  const query = useQuery(queries.tokens)
  const [isMaking, setMaking] = useState(false)
  const [revoked, setRevoked] = useState<EnrollmentToken | null>(null)
  return (
    <Page title="Enrollment tokens" actions={<Button onClick={() => setMaking(true)}>New token</Button>}>
      <Shown query={query} what="Tokens cannot be listed">
        {({ items }) =>
          items.length ? (
            <Paper p={0} style={{ overflow: 'auto' }}>
              <Table aria-label="Enrollment tokens" horizontalSpacing="sm">
                <Table.Thead>
                  <Table.Tr>
                    {['Name', 'State', 'Agents', 'Labels', 'Expires', 'Last used', 'Made', ''].map((title) => (
                      <Table.Th key={title}>{title || <span hidden>Actions</span>}</Table.Th>
                    ))}
                  </Table.Tr>
                </Table.Thead>
                <Table.Tbody>
                  {items.map((token) => (
                    <Table.Tr key={token.token_id}>
                      <Table.Td fw={600}>{token.name}</Table.Td>
                      <Table.Td>
                        <span className="fg-pill" data-tone={TONES[token.state]}>
                          {token.state.replace('_', ' ')}
                        </span>
                      </Table.Td>
                      <Table.Td>
                        {token.uses.toLocaleString()}
                        {token.max_uses ? ` of ${token.max_uses.toLocaleString()}` : ''}
                      </Table.Td>
                      <Table.Td>
                        <Labels labels={token.labels} />
                      </Table.Td>
                      <Table.Td>
                        <RelativeTime at={token.expires_at} never="never" />
                      </Table.Td>
                      <Table.Td>
                        <RelativeTime at={token.last_used_at} never="not yet" />
                      </Table.Td>
                      <Table.Td>
                        <RelativeTime at={token.created_at} /> {token.created_by && `by ${token.created_by}`}
                      </Table.Td>
                      <Table.Td>
                        <ActionButton
                          variant="default"
                          c="var(--fg-bad)"
                          aria-label={`Revoke ${token.name}`}
                          reason={token.state === 'revoked' ? 'It is revoked already' : null}
                          onClick={() => setRevoked(token)}
                        >
                          Revoke
                        </ActionButton>
                      </Table.Td>
                    </Table.Tr>
                  ))}
                </Table.Tbody>
              </Table>
            </Paper>
          ) : (
            <Empty
              title="No token has been made here"
              action={
                <Button mt="sm" onClick={() => setMaking(true)}>
                  Make one
                </Button>
              }
            >
              Agents that use the token of the data folder go on. Tokens made here have a name, an end and a limit, and can be
              revoked one by one.
            </Empty>
          )
        }
      </Shown>
      <Dialog opened={isMaking} onClose={() => setMaking(false)} title="New enrollment token">
        {isMaking && <NewToken />}
      </Dialog>
      <Dialog opened={revoked !== null} onClose={() => setRevoked(null)} title={`Revoke ${revoked?.name}?`}>
        {revoked && <Revoke token={revoked} onDone={() => setRevoked(null)} />}
      </Dialog>
    </Page>
  )
}

function Revoke({ token, onDone }: { token: EnrollmentToken; onDone: () => void }) {
  const queryClient = useQueryClient()
  const revoke = useMutation({
    mutationFn: () => tokenApi.revoke(token.token_id),
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: keys.tokens })
      onDone()
    },
  })
  return (
    <Stack>
      <Alert color="red">
        {token.uses === 1 ? '1 agent came' : `${token.uses.toLocaleString()} agents came`} with this token. Within seconds their
        connections are closed, and they are refused until they get another token. This cannot be undone.
      </Alert>
      {revoke.isError && <Failed error={revoke.error} what="Not revoked" />}
      <Group justify="end">
        <Button variant="default" onClick={onDone}>
          Keep it
        </Button>
        <Button color="red.9" loading={revoke.isPending} onClick={() => revoke.mutate()}>
          Revoke, cut off {token.uses.toLocaleString()}
        </Button>
      </Group>
    </Stack>
  )
}
