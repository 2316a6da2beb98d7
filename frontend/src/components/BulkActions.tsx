import { Button } from '@mantine/core'
import { lazy, Suspense, useState } from 'react'
import type { NewOperation } from '../services/api'
import { agents } from './counts'
import type { Selected } from './selection'

const BulkOrder = lazy(() => import('./BulkOrder'))

interface Props {
  selected: Selected
  /** Whether these are all that take orders. */
  isEverything: boolean
}

/** Restart or configure what is selected; each button says how many that is. */
export function BulkActions({ selected, isEverything }: Props) {
  const [action, setAction] = useState<NewOperation['action'] | null>(null)
  return (
    <>
      <Button variant="default" onClick={() => setAction('restart')}>
        Restart {agents(selected.size)}…
      </Button>
      <Button variant="default" onClick={() => setAction('push_config')}>
        Send a configuration to {agents(selected.size)}…
      </Button>
      {action && (
        <Suspense fallback={null}>
          <BulkOrder action={action} ids={[...selected.keys()]} isEverything={isEverything} onClose={() => setAction(null)} />
        </Suspense>
      )}
    </>
  )
}
