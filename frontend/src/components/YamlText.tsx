import { useEffect, useRef } from 'react'
import { type Line, sideBySide } from './diff'
import classes from './YamlText.module.css'

/** A configuration as text with line numbers; the line at fault is marked and in sight. */
export function YamlText({ text, label, marked }: { text: string; label: string; marked?: number | null }) {
  const line = useRef<HTMLSpanElement>(null)
  // biome-ignore lint: a new mark is to be seen
  useEffect(() => {
    const box = line.current?.closest<HTMLElement>('[role=region]')
    // Only the text scrolls: what is around it tells why the line is marked.
    if (box) box.scrollTop = line.current!.offsetTop - box.offsetTop - box.clientHeight / 2
  }, [marked])
  return (
    <div className={classes.box} tabIndex={0} role="region" aria-label={label}>
      <code className={classes.code}>
        {text
          .replace(/\n$/, '')
          .split('\n')
          .map((content, index) => (
            // biome-ignore lint: lines have no other name
            <span key={index} className={classes.line} data-marked={marked === index + 1 || undefined} ref={marked === index + 1 ? line : undefined}>
              <span className={classes.number} aria-hidden>
                {index + 1}
              </span>
              {content || ' '}
              {marked === index + 1 && <span className={classes.mark}> ◀ here</span>}
            </span>
          ))}
      </code>
    </div>
  )
}

const FAR = 3 // lines of context around a change

/** Two configurations beside each other; what is the same in both is folded away. */
export function YamlDiff({ left, right, leftName, rightName }: { left: string; right: string; leftName: string; rightName: string }) {
  const lines = sideBySide(left, right)
  if (lines.every((line) => line.isSame)) return <p className={classes.same}>They are the same.</p>
  return (
    <div className={classes.box} tabIndex={0} role="region" aria-label={`${leftName} beside ${rightName}`}>
      <table className={classes.diff}>
        <thead>
          <tr>
            <th colSpan={2}>{leftName}</th>
            <th colSpan={2}>{rightName}</th>
          </tr>
        </thead>
        <tbody>
          {folded(lines).map((line, index) =>
            typeof line === 'number' ? (
              // biome-ignore lint: lines have no other name
              <tr key={index} className={classes.fold}>
                <td colSpan={4}>{line === 1 ? '1 line that is' : `${line} lines that are`} the same</td>
              </tr>
            ) : (
              // biome-ignore lint: lines have no other name
              <tr key={index}>
                <td className={classes.number}>{line.left?.number}</td>
                <td data-change={line.isSame ? undefined : line.left ? 'gone' : 'none'}>{line.left?.text}</td>
                <td className={classes.number}>{line.right?.number}</td>
                <td data-change={line.isSame ? undefined : line.right ? 'new' : 'none'}>{line.right?.text}</td>
              </tr>
            ),
          )}
        </tbody>
      </table>
    </div>
  )
}

function folded(lines: Line[]): (Line | number)[] {
  const near = lines.map((_, index) => lines.slice(Math.max(0, index - FAR), index + FAR + 1).some((line) => !line.isSame))
  const result: (Line | number)[] = []
  lines.forEach((line, index) => {
    if (near[index]) result.push(line)
    else if (typeof result.at(-1) === 'number') result[result.length - 1] = (result.at(-1) as number) + 1
    else result.push(1)
  })
  return result
}
