import {
  ActionIcon,
  Alert,
  AppShell,
  Burger,
  Group,
  Modal,
  NavLink,
  Text,
  Tooltip,
  useComputedColorScheme,
  useMantineColorScheme,
} from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import {
  IconActivity,
  IconCpu,
  IconKey,
  IconLayoutDashboard,
  IconLogout,
  IconMoon,
  IconPlaylist,
  IconPlugConnected,
  IconServer2,
  IconSettings,
  IconSun,
} from '@tabler/icons-react'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Suspense, useCallback, useEffect, useState } from 'react'
import { Outlet, NavLink as RouterLink } from 'react-router'
import { ago, useNow } from '../components/RelativeTime'
import { Failed, Loading } from '../components/States'
import { ApiError, sessionApi, whenSignedOut } from '../services/api'
import { useLiveState, useLiveUpdates } from '../services/live'
import { keys, queries } from '../services/queries'
import { SignInForm, SignInPage } from './SignIn'
import { PLACES, Shortcuts } from './shortcuts'

const ICONS = [
  IconLayoutDashboard,
  IconServer2,
  IconCpu,
  IconPlaylist,
  IconActivity,
  IconPlugConnected,
  IconKey,
  IconSettings,
]

/** Everything around the pages. Without a session there is the sign-in; a session that ends leaves the page in place. */
export function Shell() {
  const queryClient = useQueryClient()
  const session = useQuery(queries.session)
  const [wasSignedIn, setWasSignedIn] = useState(false)
  const isSignedIn = session.data?.signed_in ?? false
  useEffect(() => {
    if (isSignedIn) setWasSignedIn(true)
  }, [isSignedIn])
  useEffect(() => {
    whenSignedOut(() =>
      queryClient.setQueryData(keys.session, { signed_in: false, csrf_token: null, expires_at: null }),
    )
  }, [queryClient])

  if (session.isPending) return <Loading label="Starting" />
  if (!session.data) return <Failed error={session.error} retry={() => void session.refetch()} />
  if (!isSignedIn && !wasSignedIn) return <SignInPage />
  return (
    <>
      <Frame onSignedOut={() => setWasSignedIn(false)} />
      <Modal
        opened={!isSignedIn}
        onClose={() => {}}
        withCloseButton={false}
        closeOnEscape={false}
        title="Your session has ended. Sign in to go on; nothing on the page is lost."
      >
        <SignInForm />
      </Modal>
    </>
  )
}

function Frame({ onSignedOut }: { onSignedOut: () => void }) {
  useLiveUpdates()
  const queryClient = useQueryClient()
  const [isOpen, menu] = useDisclosure()
  const { setColorScheme } = useMantineColorScheme()
  const scheme = useComputedColorScheme('light', { getInitialValueInEffect: false })
  const toggle = useCallback(() => setColorScheme(scheme === 'dark' ? 'light' : 'dark'), [scheme, setColorScheme])
  const signOut = async () => {
    await sessionApi.signOut().catch(() => {})
    onSignedOut()
    queryClient.clear()
    await queryClient.fetchQuery({ ...queries.session, staleTime: 0 })
  }
  return (
    <AppShell
      header={{ height: 46 }}
      navbar={{ width: 196, breakpoint: 'sm', collapsed: { mobile: !isOpen } }}
      padding="md"
    >
      <a href="#main" className="fg-skip">
        Skip to content
      </a>
      <Shortcuts onTheme={toggle} />
      <AppShell.Header>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group gap="sm" wrap="nowrap">
            <Burger opened={isOpen} onClick={menu.toggle} hiddenFrom="sm" size="sm" aria-label="Menu" />
            <img src="/favicon.svg" alt="" width={22} height={22} />
            <Text fw={700}>FlowGate</Text>
          </Group>
          <Group gap="xs" wrap="nowrap">
            <LiveMark />
            <Tooltip label={scheme === 'dark' ? 'Light (d)' : 'Dark (d)'}>
              <ActionIcon onClick={toggle} aria-label={scheme === 'dark' ? 'Switch to light' : 'Switch to dark'}>
                {scheme === 'dark' ? <IconSun size={17} /> : <IconMoon size={17} />}
              </ActionIcon>
            </Tooltip>
            <Tooltip label="Sign out">
              <ActionIcon onClick={() => void signOut()} aria-label="Sign out">
                <IconLogout size={17} />
              </ActionIcon>
            </Tooltip>
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p={8} aria-label="Main">
        {PLACES.map(([key, to, title], index) => {
          const Icon = ICONS[index]!
          return (
            <NavLink
              key={key}
              component={RouterLink}
              to={to}
              end={to === '/'}
              label={title}
              leftSection={<Icon size={16} stroke={1.7} />}
              onClick={menu.close}
              className="fg-nav"
            />
          )
        })}
      </AppShell.Navbar>
      <AppShell.Main id="main" h="100dvh" tabIndex={-1}>
        <OfflineBanner />
        <Suspense fallback={<Loading rows={8} />}>
          <Outlet />
        </Suspense>
      </AppShell.Main>
    </AppShell>
  )
}

const WORDS = {
  live: ['Live', 'What happens in the fleet is shown as it happens', 'good'],
  connecting: ['Connecting', 'The stream of events is being opened', 'calm'],
  polling: ['Polling', 'No stream of events now: what is shown is asked for every few seconds', 'warn'],
} as const

function LiveMark() {
  const [word, title, tone] = WORDS[useLiveState()]
  return (
    <span className="fg-pill" data-tone={tone} title={title} role="status">
      <span className="fg-dot" />
      {word}
    </span>
  )
}

function OfflineBanner() {
  const summary = useQuery(queries.summary)
  const now = useNow()
  const error = summary.isError || summary.failureCount > 1 ? (summary.failureReason ?? summary.error) : null
  if (!error || !(error instanceof ApiError) || error.status === 401) return null
  const at = summary.dataUpdatedAt ? ago(new Date(summary.dataUpdatedAt).toISOString(), now) : null
  return (
    <Alert color="yellow" mb="sm" py={6} role="alert" title={error.isOffline ? 'FlowGate cannot be reached' : error.message}>
      <Text size="sm">
        {at ? `What is shown is from ${at}. ` : ''}It is tried again every few seconds; what you typed stays.
      </Text>
    </Alert>
  )
}
