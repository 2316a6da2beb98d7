/** What somebody typed and has not sent, kept for this browser tab: it survives navigation, failures and reloads. */

const PREFIX = 'flowgate-draft-'

export interface Draft {
  text: string
  /** Hash of the configuration that it is to replace; empty where there was none. */
  base: string
}

export function draft(key: string): Draft | null {
  try {
    return JSON.parse(sessionStorage.getItem(PREFIX + key) ?? 'null') as Draft | null
  } catch {
    return null
  }
}

export function keepDraft(key: string, text: string, base = ''): void {
  try {
    sessionStorage.setItem(PREFIX + key, JSON.stringify({ text, base } satisfies Draft))
  } catch {
    // no room or no permission: the text stays in the editor all the same
  }
}

/** Forget a draft; with a text only if that is still what is kept, since more may have been typed meanwhile. */
export function dropDraft(key: string, text?: string): void {
  if (text !== undefined && draft(key)?.text !== text) return
  try {
    sessionStorage.removeItem(PREFIX + key)
  } catch {
    // nothing was kept
  }
}
