import { useEffect, useRef } from 'react'
import type MonacoBox from '../editor/MonacoBox'

/** A text field in Monaco's place, which wants a real browser: the walks have that. */
export default function TextBox({ initial, replacement, onChange, original, label }: Parameters<typeof MonacoBox>[0]) {
  const field = useRef<HTMLTextAreaElement>(null)
  useEffect(() => {
    if (!replacement || !field.current) return
    field.current.value = replacement.text
    onChange(replacement.text)
  }, [replacement, onChange])
  return (
    <>
      <textarea ref={field} aria-label={label} defaultValue={initial} onChange={(event) => onChange(event.currentTarget.value)} />
      {original !== undefined && (
        <section aria-label="Beside it">
          <pre>{original}</pre>
        </section>
      )}
    </>
  )
}
