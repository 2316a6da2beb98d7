import { Fragment, type ReactNode } from 'react'
import classes from './Facts.module.css'

/** Names and values, one under another. */
export function Facts({ items }: { items: [string, ReactNode][] }) {
  return (
    <dl className={classes.list}>
      {items.map(([name, value]) => (
        <div key={name} className={classes.row}>
          <dt>
            {name.split('.').map((part, index) => (
              // biome-ignore lint: parts have no other name
              <Fragment key={index}>
                {index > 0 && '.'}
                {index > 0 && <wbr />}
                {part}
              </Fragment>
            ))}
          </dt>
          <dd>{value ?? '–'}</dd>
        </div>
      ))}
    </dl>
  )
}
