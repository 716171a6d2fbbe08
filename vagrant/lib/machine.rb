# What the Vagrantfile must know of this machine and of the user's wishes.

require "base64"
require "fileutils"

# The lab as the environment describes it, on the machine that this runs on.
class Machine
  # `ioctl` requests of /dev/kvm (linux/kvm.h), and the only version there has been since 2007.
  KVM_GET_API_VERSION = 0xAE00
  KVM_API_VERSION = 12

  def initialize(environment, state)
    @environment = environment
    @state = state
  end

  # Can virtual machines use the processor's own virtualisation? A device that opens is not enough: some hosted
  # machines have a /dev/kvm that runs only guests made for it, and it shows in a processor without vmx and svm.
  def kvm?
    case setting("KVM", "")
    when "yes" then true
    when "no" then false
    when "" then @kvm.nil? ? @kvm = kvm_found? : @kvm
    else raise "REKINDLE_LAB_KVM is yes, no or unset"
    end
  end

  # The nodes' names and their addresses in the private network.
  def nodes
    masters = (1..number("MASTERS", 3)).map { |n| ["n#{n}", address(10 + n)] }
    workers = (1..number("WORKERS", 1, least: 0)).map { |n| ["w#{n}", address(20 + n)] }
    (masters + workers).to_h
  end

  def control_plane? = setting("CONTROL_PLANE", "yes") != "no"
  def memory = number("MEMORY", 2048, least: 512)
  # Emulated processors are threads of this machine's: more of them than it has itself wait for each other.
  def cpus = number("CPUS", kvm? ? 2 : 1)
  def disk = setting("DISK", "").empty? ? nil : number("DISK", 20)
  def box_name = setting("BOX_NAME", "rekindle-master")
  def firmware = setting("FIRMWARE", "/usr/share/ovmf/OVMF.fd")
  def management = "#{setting('MANAGEMENT_NETWORK', '10.79.0')}.0/24"

  # Where the box comes from, as a URL; nil where `vagrant box add` has been there before.
  def box
    box = setting("BOX", "")
    return nil if box.empty?

    box.include?("://") ? box : "file://#{File.expand_path(box)}"
  end

  def console(node)
    directory = setting("CONSOLES", "")
    directory.empty? ? nil : File.join(File.expand_path(directory), "#{node}.log")
  end

  # The lab's own key, made at its first use.
  def private_key
    key = File.join(setting("STATE", @state), "key")
    unless File.exist?(key)
      FileUtils.mkdir_p(File.dirname(key))
      made = system("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "rekindle-lab", "-f", key)
      raise "the lab's SSH key could not be made with ssh-keygen (package openssh-client): #{key}" unless made
    end
    key
  end

  # systemd takes credentials from SMBIOS strings, and systemd-tmpfiles makes root's authorized_keys of this one.
  def key_credential
    public_key = File.read("#{private_key}.pub")
    "io.systemd.credential.binary:ssh.authorized_keys.root=#{Base64.strict_encode64(public_key)}"
  end

  # How many seconds of this machine one of the nodes' lasts: only an emulated processor can be told so. By default as
  # many as two cores need for four nodes; lib/vagrant.bash has the same.
  def time = kvm? ? 1 : number("TIME", number("MASTERS", 3) > 1 ? 5 : 1)
  def emulator = time == 1 ? nil : File.join(__dir__, "emulator")

  # The file of the nodes' clock (lib/clock.bash). It goes on as long as there are nodes.
  def clock
    clock = File.join(setting("STATE", @state), "clock")
    FileUtils.mkdir_p(File.dirname(clock))
    File.write(clock, "#{Time.now.to_i} #{time}\n") unless File.exist?(clock) && (nodes_exist? || fresh?(clock))
    clock
  end

  # More for the kernel's command line, by the boot stub of systemd; nil where the processor is a real one. What is emulated
  # needs no help against its neighbours' curiosity, and a repeated instruction costs there as much as a loop.
  def kernel_options
    kvm? ? nil : "io.systemd.stub.kernel-cmdline-extra=mitigations=off clearcpuid=rep_good nowatchdog"
  end

  private

  # Vagrant reads its file several times while it makes the first of them.
  def fresh?(file) = Time.now - File.mtime(file) < 600

  def nodes_exist?
    Dir.glob(File.join(@environment.fetch("VAGRANT_DOTFILE_PATH", @state), "machines", "*", "libvirt", "id")).any?
  end

  def kvm_found?
    version = File.open("/dev/kvm", "r+") { |kvm| kvm.ioctl(KVM_GET_API_VERSION, 0) }
    version == KVM_API_VERSION && virtualisation?
  rescue Errno::EACCES
    # It is libvirt's service that opens it, not the user of vagrant.
    virtualisation?
  rescue SystemCallError
    false
  end

  # Other processors than x86 have no such flags, and their /dev/kvm only where they can.
  def virtualisation?
    flags = File.foreach("/proc/cpuinfo").find { |line| line.start_with?("flags") }
    flags.nil? || flags.split.any? { |flag| %w[vmx svm].include?(flag) }
  end

  def setting(name, default)
    value = @environment["REKINDLE_LAB_#{name}"]
    value.nil? || value.empty? ? default : value
  end

  def number(name, default, least: 1)
    value = Integer(setting(name, default.to_s), 10, exception: false)
    raise "REKINDLE_LAB_#{name} is a number from #{least}" if value.nil? || value < least

    value
  end

  def address(host) = "#{setting('NETWORK', '10.77.0')}.#{host}"
end
