import { Modal, type ModalProps } from '@mantine/core'
import { useEffect, useState, useSyncExternalStore } from 'react'

const layers: object[] = []
const listeners = new Set<() => void>()
const listen = (tell: () => void) => {
  listeners.add(tell)
  return () => listeners.delete(tell)
}
function change(act: () => void): void {
  act()
  for (const tell of listeners) tell()
}

/** Whether this is the topmost of the dialogs and drawers that are open: only that one closes by Escape. */
export function useTopmost(isOpen: boolean): boolean {
  const [layer] = useState(() => ({}))
  useEffect(() => {
    if (!isOpen) return
    change(() => layers.push(layer))
    return () => change(() => layers.splice(layers.indexOf(layer), 1))
  }, [isOpen, layer])
  return useSyncExternalStore(listen, () => layers.at(-1) === layer)
}

/** A dialog over what is there. */
export function Dialog(props: ModalProps) {
  const isTopmost = useTopmost(props.opened)
  return <Modal {...props} closeOnEscape={isTopmost && (props.closeOnEscape ?? true)} />
}
