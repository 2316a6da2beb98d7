import { Button, Checkbox, Popover, Stack } from '@mantine/core'
import { IconColumns3 } from '@tabler/icons-react'
import type { Column } from './FleetTable'

/** Which columns a table shows. */
export function ColumnPicker({
  columns,
  visible,
  onChange,
}: {
  columns: Column[]
  visible: string[]
  onChange: (visible: string[]) => void
}) {
  return (
    <Popover position="bottom-end" withArrow trapFocus>
      <Popover.Target>
        <Button variant="default" leftSection={<IconColumns3 size={14} />}>
          Columns
        </Button>
      </Popover.Target>
      <Popover.Dropdown aria-label="Columns">
        <Checkbox.Group value={visible} onChange={onChange} aria-label="Shown columns">
          <Stack gap={6}>
            {columns.map(({ id, title }, index) => (
              <Checkbox key={id} value={id} label={title} disabled={index === 0} />
            ))}
          </Stack>
        </Checkbox.Group>
      </Popover.Dropdown>
    </Popover>
  )
}
