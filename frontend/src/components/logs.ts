/** An agent's log records as they come, from where the first page of them ends. */
import { useCallback, useEffect, useRef, useState } from 'react'
import { type LogQuery, type LogRecord, logStreamUrl } from '../services/api'

export const MOST = 5000 // records as they came; beyond that the newest page is asked for again
const FLUSH_MILLISECONDS = 200
const AGAIN_MILLISECONDS = 5000

export interface Tail {
  /** Those to be shown, oldest first. */
  shown: LogRecord[]
  /** Those that came while somebody reads, and are shown by `release`. */
  held: LogRecord[]
  isBroken: boolean
  release: () => void
}

/**
 * Follows while `behind` is known.
 *
 * @param isHeld whether what comes is kept back: somebody reads, and what one reads does not move.
 * @param onOverflow there are too many to keep: what is shown has to be fetched anew.
 */
export function useTail(
  id: string,
  filters: Pick<LogQuery, 'severity' | 'source' | 'q'>,
  behind: string | undefined,
  isHeld: boolean,
  onOverflow: () => void,
): Tail {
  const [shown, setShown] = useState<LogRecord[]>([])
  const [held, setHeld] = useState<LogRecord[]>([])
  const [isBroken, setBroken] = useState(false)
  const isHolding = useRef(isHeld)
  isHolding.current = isHeld

  useEffect(() => {
    setShown([])
    setHeld([])
    setBroken(false)
    if (behind === undefined || typeof EventSource === 'undefined') return
    let place = behind
    let source: EventSource
    let waiting: LogRecord[] = []
    let timer: ReturnType<typeof setTimeout> | undefined
    let again: ReturnType<typeof setTimeout> | undefined
    const flush = () => {
      timer = undefined
      const fresh = waiting
      waiting = []
      const add = isHolding.current ? setHeld : setShown
      add((known) => [...known, ...fresh])
    }
    const begin = () => {
      source = new EventSource(logStreamUrl(id, { ...filters, behind: place }))
      source.addEventListener('log', (message) => {
        const record = JSON.parse((message as MessageEvent<string>).data) as LogRecord
        place = record.id
        waiting.push(record)
        timer ??= setTimeout(flush, FLUSH_MILLISECONDS)
      })
      source.onopen = () => setBroken(false)
      source.onerror = () => {
        setBroken(true)
        // The browser comes back by itself after a broken connection, not after a refusal.
        if (source.readyState === EventSource.CLOSED) again = setTimeout(begin, AGAIN_MILLISECONDS)
      }
    }
    begin()
    return () => {
      clearTimeout(timer)
      clearTimeout(again)
      source.close()
    }
  }, [id, filters, behind])

  const release = useCallback(() => {
    setHeld([])
    setShown((known) => [...known, ...held])
  }, [held])
  const isFull = shown.length > MOST || (!isHeld && held.length > MOST)
  useEffect(() => {
    if (isFull) onOverflow()
    else if (!isHeld && held.length) release()
  }, [isFull, isHeld, held.length, release, onOverflow])
  // Held ones that are too many are fetched again when they are wanted: they need no room until then.
  useEffect(() => {
    if (held.length > MOST + 1) setHeld((known) => known.slice(-MOST - 1))
  }, [held.length])
  return { shown, held, isBroken, release }
}
