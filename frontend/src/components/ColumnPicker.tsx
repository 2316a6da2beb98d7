import { useEffect, useRef } from 'react'
import classes from './ColumnPicker.module.css'
import type { Column } from './FleetTable'

/** Which columns a table shows. */
export function ColumnPicker({
  columns,
  visible,
  onChange,
}: {
  columns: Column[]
  visible: string[]
  onChange: (visible: string[]) => void
}) {
  const box = useRef<HTMLDetailsElement>(null)
  useEffect(() => {
    const close = (event: Event) => {
      const isKey = event instanceof KeyboardEvent
      if (!box.current?.open || (isKey ? event.key !== 'Escape' : box.current.contains(event.target as Node))) return
      box.current.open = false
    }
    document.addEventListener('pointerdown', close)
    document.addEventListener('keydown', close)
    return () => {
      document.removeEventListener('pointerdown', close)
      document.removeEventListener('keydown', close)
    }
  }, [])
  return (
    <details ref={box} className={classes.box}>
      <summary className={classes.button}>Columns</summary>
      <fieldset className={classes.list}>
        <legend className="fg-hidden">Shown columns</legend>
        {columns.map(({ id, title }, index) => (
          <label key={id}>
            <input
              type="checkbox"
              checked={visible.includes(id)}
              disabled={index === 0}
              onChange={() => onChange(visible.includes(id) ? visible.filter((one) => one !== id) : [...visible, id])}
            />{' '}
            {title}
          </label>
        ))}
      </fieldset>
    </details>
  )
}
