import { useSyncExternalStore } from 'react'

const STEP_MILLISECONDS = 5000

let now = Date.now()
let timer: ReturnType<typeof setInterval> | undefined
const listeners = new Set<() => void>()

function listen(tell: () => void): () => void {
  listeners.add(tell)
  timer ??= setInterval(() => {
    now = Date.now()
    for (const one of listeners) one()
  }, STEP_MILLISECONDS)
  return () => {
    listeners.delete(tell)
    if (!listeners.size) {
      clearInterval(timer)
      timer = undefined
    }
  }
}

/** One clock for all that is shown. */
export function useNow(): number {
  return useSyncExternalStore(listen, () => now)
}

export function ago(at: string | null | undefined, when: number): string {
  if (!at) return 'never'
  const seconds = Math.round((when - Date.parse(at)) / 1000)
  const [amount, unit] = inUnits(Math.abs(seconds))
  if (unit === 's' && amount < 5) return 'just now'
  return seconds < 0 ? `in ${amount} ${unit}` : `${amount} ${unit} ago`
}

export function duration(seconds: number): string {
  return inUnits(Math.max(0, Math.round(seconds))).join(' ')
}

function inUnits(seconds: number): [number, string] {
  if (seconds < 60) return [seconds, 's']
  if (seconds < 3600) return [Math.floor(seconds / 60), 'min']
  if (seconds < 86_400) return [Math.floor(seconds / 3600), 'h']
  return [Math.floor(seconds / 86_400), 'd']
}

const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'long' }) // making one takes long

export const exactly = (at: string) => `${EXACT.format(new Date(at))} (${at})`

const SKEW_MILLISECONDS = 60_000 // by which the server's clock may be ahead of this one

/** How long before `when` something was, or in how long it will be. */
export function agoText(at: string, when: number): string {
  const ahead = Date.parse(at) - when
  return ago(at, ahead > 0 && ahead < SKEW_MILLISECONDS ? when + ahead : when)
}

/** How long ago something was, or in how long it will be; the exact time on hover. */
export function RelativeTime({ at, never = 'never' }: { at: string | null | undefined; never?: string }) {
  const when = useNow()
  if (!at) return <span>{never}</span>
  return (
    <time dateTime={at} title={exactly(at)}>
      {agoText(at, when)}
    </time>
  )
}
