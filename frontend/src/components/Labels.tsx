/** An operator's labels, as many as fit on a line; all of them on hover. */
export function Labels({ labels, max = 3 }: { labels: Record<string, string>; max?: number }) {
  const all = Object.entries(labels).map(([key, value]) => (value ? `${key}=${value}` : key))
  if (!all.length) return <span title="No labels">–</span>
  return (
    <span title={all.join('\n')} className="fg-labels">
      {all.slice(0, max).map((label) => (
        <span key={label} className="fg-pill">
          {label}
        </span>
      ))}
      {all.length > max && <span className="fg-pill">+{all.length - max}</span>}
    </span>
  )
}
