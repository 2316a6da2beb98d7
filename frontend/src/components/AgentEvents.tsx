import { useQuery } from '@tanstack/react-query'
import { queries } from '../services/queries'
import { EventTimeline } from './EventTimeline'
import { Empty, Shown } from './States'

/** What happened to one agent. */
export function AgentEvents({ id }: { id: string }) {
  const query = useQuery(queries.recent({ instance_id: id, limit: 200 }))
  return (
    <Shown query={query} what="Its events cannot be read">
      {(events) =>
        events.length ? (
          <EventTimeline events={events} />
        ) : (
          <Empty title="Nothing has happened to it">Events are kept for seven days.</Empty>
        )
      }
    </Shown>
  )
}
