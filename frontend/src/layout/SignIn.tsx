import { Box, Button, Center, Code, Paper, PasswordInput, Stack, Text, Title } from '@mantine/core'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { Dialog } from '../components/Dialog'
import { Failed } from '../components/States'
import { sessionApi } from '../services/api'
import { keys } from '../services/queries'

/** Asks for the admin token; what was on the page stays behind it when a session has ended. */
export function SignInForm({ onDone }: { onDone?: () => void }) {
  const queryClient = useQueryClient()
  const [token, setToken] = useState('')
  const signIn = useMutation({
    mutationFn: () => sessionApi.signIn(token.trim()),
    onSuccess: async (session) => {
      setToken('')
      queryClient.setQueryData(keys.session, session)
      onDone?.()
      await queryClient.invalidateQueries()
    },
  })
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        signIn.mutate()
      }}
    >
      <Stack gap="sm">
        <PasswordInput
          size="sm"
          label="Admin token"
          description={
            <>
              <Code>flowgate admin-token</Code> prints it where <Code>flowgate up</Code> runs. With Docker compose it is{' '}
              <Code>FLOWGATE_TOKEN</Code> in <Code>.env</Code>, in Kubernetes in the Secret that the chart names.
            </>
          }
          value={token}
          onChange={(event) => setToken(event.currentTarget.value)}
          autoComplete="current-password"
          data-autofocus
          required
          visibilityToggleButtonProps={{ 'aria-label': 'Show the token' }}
        />
        {signIn.isError && <Failed error={signIn.error} what="Not signed in" />}
        <Button type="submit" size="sm" loading={signIn.isPending}>
          Sign in
        </Button>
      </Stack>
    </form>
  )
}

export default function SignInPage() {
  return (
    <Center mih="100vh" p="md" component="main">
      <Box w={400} maw="100%">
        <Title order={1} size="h2" mb={4}>
          FlowGate
        </Title>
        <Text c="dimmed" size="sm" mb="md">
          The whole fleet of OpenTelemetry Collectors at a glance.
        </Text>
        <Paper p="lg">
          <SignInForm />
        </Paper>
      </Box>
    </Center>
  )
}

/** Over the page, when its session has ended. */
export function SessionEnded() {
  return (
    <Dialog
      opened
      onClose={() => {}}
      withCloseButton={false}
      closeOnEscape={false}
      title="Your session has ended. Sign in to go on; nothing on the page is lost."
    >
      <SignInForm />
    </Dialog>
  )
}
