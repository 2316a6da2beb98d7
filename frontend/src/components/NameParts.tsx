/** An agent's name: the host tells those of one kind apart, so where there is no room, the part before it is cut. */
export function NameParts({ name }: { name: string }) {
  const at = name.indexOf('@')
  if (at < 0) return <span>{name}</span>
  return (
    <>
      <span className="fg-kind">{name.slice(0, at + 1)}</span>
      <b>{name.slice(at + 1)}</b>
    </>
  )
}
