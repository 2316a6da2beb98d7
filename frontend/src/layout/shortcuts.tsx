import { lazy, Suspense, useEffect, useState } from 'react'
import { useNavigate } from 'react-router'
import { useShortcuts } from '../components/preferences'

const Keys = lazy(() => import('./Keys'))

export const PLACES: [key: string, to: string, title: string][] = [
  ['o', '/', 'Overview'],
  ['a', '/agents', 'Agents'],
  ['s', '/supervisors', 'Supervisors'],
  ['p', '/operations', 'Operations'],
  ['e', '/events', 'Events'],
  ['n', '/onboarding', 'Connect an agent'],
  ['t', '/enrollment', 'Enrollment tokens'],
  [',', '/settings', 'Settings'],
]

function isTyping(target: EventTarget | null): boolean {
  const fields = 'input:not([type=checkbox],[type=radio]),textarea,select,[contenteditable],.monaco-editor'
  return target instanceof HTMLElement && Boolean(target.closest(fields))
}

/** Keys that work everywhere but in fields: `g` and a letter goes somewhere, `/` searches, `?` lists them. */
export function Shortcuts({ onTheme }: { onTheme: () => void }) {
  const navigate = useNavigate()
  const [isOn] = useShortcuts()
  const [isOpen, setOpen] = useState(false)
  useEffect(() => {
    if (!isOn) return
    let isGoing = false
    const onKey = (event: KeyboardEvent) => {
      if (event.metaKey || event.ctrlKey || event.altKey || isTyping(event.target)) return
      const dialog = [...document.querySelectorAll('[role="dialog"]')].at(-1)
      if (event.key === '/') {
        const field = (dialog ?? document).querySelector<HTMLInputElement>('input[data-search], [data-search] input')
        if (!field) return
        event.preventDefault()
        field.focus()
        field.select()
      }
      if (dialog) return // what is behind it is out of reach, by keys too
      const place = isGoing && PLACES.find(([key]) => key === event.key)
      isGoing = event.key === 'g' && !isGoing
      if (place) void navigate(place[1])
      else if (event.key === '?') setOpen(true)
      else if (event.key === 'd') onTheme()
    }
    document.addEventListener('keydown', onKey)
    return () => document.removeEventListener('keydown', onKey)
  }, [navigate, onTheme, isOn])
  return isOpen ? (
    <Suspense fallback={null}>
      <Keys onClose={() => setOpen(false)} />
    </Suspense>
  ) : null
}
