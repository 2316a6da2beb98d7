import { Alert, Text, useComputedColorScheme, useMantineColorScheme } from '@mantine/core'
import {
  IconActivity,
  IconCpu,
  IconKey,
  IconLayoutDashboard,
  IconLogout,
  IconMenu2,
  IconMoon,
  IconPlaylist,
  IconPlugConnected,
  IconServer2,
  IconSettings,
  IconSun,
} from '@tabler/icons-react'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { lazy, Suspense, useCallback, useEffect, useState } from 'react'
import { Outlet, NavLink as RouterLink } from 'react-router'
import { ago, useNow } from '../components/RelativeTime'
import { Failed, Loading } from '../components/States'
import { ApiError, sessionApi, whenSessionChanges, whenSignedOut } from '../services/api'
import { useLiveState, useLiveUpdates } from '../services/live'
import { keys, queries } from '../services/queries'
import classes from './Shell.module.css'
import { PLACES, Shortcuts } from './shortcuts'

const SignInPage = lazy(() => import('./SignIn'))
const SessionEnded = lazy(() => import('./SignIn').then((module) => ({ default: module.SessionEnded })))

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

  useEffect(
    () => whenSessionChanges(() => void queryClient.invalidateQueries({ queryKey: keys.session })),
    [queryClient],
  )

  if (session.isPending) return <Loading label="Starting" />
  if (!session.data) return <Failed error={session.error} retry={() => void session.refetch()} />
  if (!isSignedIn && !wasSignedIn) {
    return (
      <Suspense fallback={<Loading label="Starting" />}>
        <SignInPage />
      </Suspense>
    )
  }
  return (
    <>
      <Frame isSignedIn={isSignedIn} onSignedOut={() => setWasSignedIn(false)} />
      <Suspense fallback={null}>{!isSignedIn && <SessionEnded />}</Suspense>
    </>
  )
}

function Frame({ isSignedIn, onSignedOut }: { isSignedIn: boolean; onSignedOut: () => void }) {
  useLiveUpdates(isSignedIn)
  const queryClient = useQueryClient()
  const [isOpen, setOpen] = useState(false)
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
    <div className={classes.shell} data-open={isOpen || undefined}>
      <a href="#main" className="fg-skip">
        Skip to content
      </a>
      <Shortcuts onTheme={toggle} />
      <header className={classes.header}>
        <button
          type="button"
          className={`${classes.icon} ${classes.burger}`}
          aria-label="Menu"
          aria-expanded={isOpen}
          onClick={() => setOpen(!isOpen)}
        >
          <IconMenu2 size={18} />
        </button>
        <img src="/favicon.svg" alt="" width={22} height={22} />
        <b>FlowGate</b>
        <span className={classes.space} />
        <LiveMark />
        <button
          type="button"
          className={classes.icon}
          title={scheme === 'dark' ? 'Light (d)' : 'Dark (d)'}
          aria-label={scheme === 'dark' ? 'Switch to light' : 'Switch to dark'}
          onClick={toggle}
        >
          {scheme === 'dark' ? <IconSun size={17} /> : <IconMoon size={17} />}
        </button>
        <button type="button" className={classes.icon} title="Sign out" aria-label="Sign out" onClick={() => void signOut()}>
          <IconLogout size={17} />
        </button>
      </header>
      <nav className={classes.nav} aria-label="Main">
        {PLACES.map(([key, to, title], index) => {
          const Icon = ICONS[index]!
          return (
            <RouterLink key={key} to={to} end={to === '/'} title={`${title} (g ${key})`} onClick={() => setOpen(false)}>
              <Icon size={16} stroke={1.7} aria-hidden />
              {title}
            </RouterLink>
          )
        })}
      </nav>
      <main id="main" className={classes.main} tabIndex={-1}>
        <OfflineBanner />
        <Suspense fallback={<Loading rows={8} />}>
          <Outlet />
        </Suspense>
      </main>
    </div>
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
    <span className="fg-pill" data-dot data-tone={tone} title={title} role="status">
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
