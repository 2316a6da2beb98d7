/** What somebody chose for this browser. */
import { useLocalStorage } from '@mantine/hooks'

/** Whether single keys do something; who speaks to the computer, or hits keys by chance, switches them off. */
export function useShortcuts(): [isOn: boolean, set: (isOn: boolean) => void] {
  const [isOn, set] = useLocalStorage({ key: 'flowgate-shortcuts', defaultValue: true, getInitialValueInEffect: false })
  return [isOn, set]
}
