import { Kbd, Table, Text } from '@mantine/core'
import { Link } from 'react-router'
import { Dialog } from '../components/Dialog'
import { PLACES } from './shortcuts'

/** Every key that does something. */
export default function Keys({ onClose }: { onClose: () => void }) {
  return (
    <Dialog opened onClose={onClose} title="Keyboard">
      <Table>
        <Table.Tbody>
          {PLACES.map(([key, , title]) => (
            <Table.Tr key={key}>
              <Table.Td>
                <Kbd>g</Kbd> <Kbd>{key}</Kbd>
              </Table.Td>
              <Table.Td>{title}</Table.Td>
            </Table.Tr>
          ))}
          {[
            ['/', 'Search'],
            ['↑ ↓', 'Row by row, Enter opens'],
            ['Esc', 'Close what is open'],
            ['d', 'Dark or light'],
            ['?', 'This list'],
          ].map(([key, what]) => (
            <Table.Tr key={key}>
              <Table.Td>
                <Kbd>{key}</Kbd>
              </Table.Td>
              <Table.Td>{what}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      <Text size="xs" c="dimmed" mt="sm">
        Keys that work by themselves are switched off in <Link to="/settings" onClick={onClose}>Settings</Link>. In the editor Ctrl+M
        (on a Mac ⌃⇧M) lets Tab leave it, and again lets Tab indent.
      </Text>
    </Dialog>
  )
}
