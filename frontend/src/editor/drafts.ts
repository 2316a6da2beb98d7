/** What somebody typed and has not sent, kept for this browser tab: it survives navigation, failures and reloads. */

const PREFIX = 'flowgate-draft-'

export function draft(key: string): string | null {
  try {
    return sessionStorage.getItem(PREFIX + key)
  } catch {
    return null
  }
}

export function keepDraft(key: string, text: string | null): void {
  try {
    if (text === null) sessionStorage.removeItem(PREFIX + key)
    else sessionStorage.setItem(PREFIX + key, text)
  } catch {
    // no room or no permission: the text stays in the editor all the same
  }
}
