import { Button } from '@mantine/core'
import { Link, useRouteError } from 'react-router'
import { Empty, Failed } from '../components/States'

export function NotFound() {
  return (
    <Empty
      title="There is no such page"
      action={
        <Button component={Link} to="/agents" mt="sm">
          To the agents
        </Button>
      }
    />
  )
}

/** Instead of a blank page when one cannot be drawn, such as after an update of FlowGate. */
export function PageFailed() {
  return <Failed error={useRouteError()} what="This page could not be shown" retry={() => globalThis.location.reload()} />
}
