import { Button } from '@mantine/core'
import { IconPlus } from '@tabler/icons-react'
import { Suspense } from 'react'
import { Link, Outlet } from 'react-router'
import { agentColumns, agentDefault } from '../components/columns'
import { FleetList } from '../components/FleetList'
import { Page } from '../components/Page'
import { Empty } from '../components/States'

/** Every agent of the fleet, in both modes. */
export default function AgentManagement() {
  return (
    <Page
      title="Agents"
      actions={
        <Button component={Link} to="/onboarding" leftSection={<IconPlus size={14} />}>
          Connect an agent
        </Button>
      }
    >
      <FleetList
        base="/agents"
        label="Agents"
        columns={agentColumns}
        defaults={agentDefault}
        whenEmpty={
          <Empty
            title="No agent has connected yet"
            action={
              <Button component={Link} to="/onboarding" mt="sm">
                Connect the first one
              </Button>
            }
          >
            Point a collector's opampextension or an opampsupervisor at FlowGate, and it appears here by itself.
          </Empty>
        }
      />
      <Suspense fallback={null}>
        <Outlet />
      </Suspense>
    </Page>
  )
}
