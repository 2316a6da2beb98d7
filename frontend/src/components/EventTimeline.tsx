import { Link } from 'react-router'
import type { FleetEvent } from '../services/api'
import classes from './EventTimeline.module.css'
import type { Names } from './names'
import { told } from './events'
import { RelativeTime } from './RelativeTime'

/** What happened, newest first. */
export function EventTimeline({ events, names }: { events: FleetEvent[]; names?: Names }) {
  return (
    <ol className={classes.list} aria-label="Events">
      {events.map((event) => {
        const { text, detail, tone } = told(event)
        return (
          <li key={event.event_id ?? `${event.event}${event.occurred_at}${event.instance_id}`} className={classes.item}>
            <span className={classes.time}>
              <RelativeTime at={event.occurred_at} />
            </span>
            <span className={classes.mark} style={{ color: `var(--fg-${tone})` }} aria-hidden />
            <span className={classes.text}>
              {names && event.instance_id && (
                <Link to={`/agents/${event.instance_id}`} className="fg-link">
                  {names.get(event.instance_id) ?? `…${event.instance_id.slice(-12)}`}
                </Link>
              )}
              <span> {text}</span>
              {detail && <span className={classes.detail}> {detail}</span>}
            </span>
          </li>
        )
      })}
    </ol>
  )
}
