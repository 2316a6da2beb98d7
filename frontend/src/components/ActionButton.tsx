import { Button, type ButtonProps, Tooltip } from '@mantine/core'
import { type MouseEvent, type ReactNode, useId } from 'react'

type Props = ButtonProps & { onClick?: () => void; reason?: string | null; children: ReactNode }

/** A button; one that cannot be used stays reachable and says why, and how that is changed. */
export function ActionButton({ reason, onClick, children, ...button }: Props) {
  const id = useId()
  const refused = reason
    ? { 'aria-disabled': true, 'data-disabled': true, 'aria-describedby': id, onClick: (event: MouseEvent) => event.preventDefault() }
    : { onClick }
  return (
    <Tooltip label={reason} disabled={!reason} events={{ hover: true, focus: true, touch: true }}>
      <Button {...button} {...refused}>
        {children}
        {reason && (
          <span id={id} hidden>
            {reason}
          </span>
        )}
      </Button>
    </Tooltip>
  )
}
