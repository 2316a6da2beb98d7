/** Server-sent events for tests: `openStreams` puts them in the browser's place, and sends on them. */
import { afterEach, vi } from 'vitest'

export class Stream {
  static readonly CONNECTING = 0
  static readonly OPEN = 1
  static readonly CLOSED = 2
  readyState = Stream.CONNECTING
  onopen: (() => void) | null = null
  onerror: (() => void) | null = null
  private readonly listeners = new Map<string, ((message: { data: string; lastEventId: string }) => void)[]>()

  constructor(readonly url: string) {
    opened.push(this)
  }

  addEventListener(kind: string, listen: (message: { data: string; lastEventId: string }) => void): void {
    this.listeners.set(kind, [...(this.listeners.get(kind) ?? []), listen])
  }

  close(): void {
    this.readyState = Stream.CLOSED
  }

  begin(): void {
    this.readyState = Stream.OPEN
    this.onopen?.()
  }

  /** The connection breaks; a refused one does not come back by itself. */
  breakOff(isRefused = false): void {
    this.readyState = isRefused ? Stream.CLOSED : Stream.CONNECTING
    this.onerror?.()
  }

  send(kind: string, data: object, lastEventId = ''): void {
    for (const listen of this.listeners.get(kind) ?? []) listen({ data: JSON.stringify(data), lastEventId })
  }
}

const opened: Stream[] = []

/** The streams that are opened from now on, in order; those that are closed stay in the list. */
export function openStreams(): Stream[] {
  opened.length = 0
  vi.stubGlobal('EventSource', Stream)
  return opened
}

/** The open stream under a path, once it is there. */
export async function streamOf(path: string): Promise<Stream> {
  return vi.waitUntil(() => opened.findLast((one) => one.url.startsWith(path) && one.readyState !== Stream.CLOSED), {
    timeout: 10_000,
  })
}

afterEach(() => {
  vi.unstubAllGlobals()
})
