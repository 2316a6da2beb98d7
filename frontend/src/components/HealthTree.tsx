import type { Schemas } from '../services/api'
import classes from './HealthTree.module.css'

type Tree = Record<string, Schemas['ComponentHealthTree']>

/** An agent's parts with their states; those that do not work are open. */
export function HealthTree({ components }: { components: Tree }) {
  const parts = Object.entries(components)
  if (!parts.length) return <span className={classes.nothing}>It reports no parts.</span>
  return (
    <ul className={classes.tree}>
      {parts.map(([name, part]) => (
        <Part key={name} name={name} part={part} />
      ))}
    </ul>
  )
}

const isBroken = (part: Schemas['ComponentHealthTree']): boolean => !part.healthy || Object.values(part.components).some(isBroken)

function Part({ name, part }: { name: string; part: Schemas['ComponentHealthTree'] }) {
  const line = (
    <>
      <span aria-hidden style={{ color: `var(--fg-${part.healthy ? 'good' : 'bad'})` }}>
        {part.healthy ? '✓' : '✕'}
      </span>{' '}
      <span className="fg-mono">{name}</span>{' '}
      <span className={classes.status}>{part.status ?? (part.healthy ? 'healthy' : 'not healthy')}</span>
      {part.last_error && <span className={classes.error}> {part.last_error}</span>}
    </>
  )
  if (!Object.keys(part.components).length) return <li>{line}</li>
  return (
    <li>
      <details open={isBroken(part)}>
        <summary>{line}</summary>
        <HealthTree components={part.components} />
      </details>
    </li>
  )
}
