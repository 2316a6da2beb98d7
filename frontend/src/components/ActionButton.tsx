import { Button, type ButtonProps, Tooltip } from '@mantine/core'
import { useId, type ReactNode } from 'react'

type Props = ButtonProps & { onClick?: () => void; reason?: string | null; children: ReactNode }

/** A button; one that cannot be used stays reachable and says why, and how that is changed. */
export function ActionButton({ reason, onClick, children, ...button }: Props) {
  const id = useId()
  if (!reason) {
    return (
      <Button onClick={onClick} {...button}>
        {children}
      </Button>
    )
  }
  return (
    <Tooltip label={reason} events={{ hover: true, focus: true, touch: true }}>
      <Button {...button} aria-disabled data-disabled aria-describedby={id} onClick={(event) => event.preventDefault()}>
        {children}
        <span id={id} hidden>
          {reason}
        </span>
      </Button>
    </Tooltip>
  )
}
