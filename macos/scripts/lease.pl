# Holds this Mac for one run: a lock of the kernel's, which ends with this program, whatever ends it. Arguments: the
# file that is locked, for how many seconds the run may say nothing, and who holds it, as one line.
# Says `held`, or `taken SECONDS WHO` and ends; then says again what it is told, and ends on `end`, on silence, and when
# its connection is gone.
use strict;
use warnings;
use Fcntl qw(:DEFAULT :flock);

my ($path, $patience, $who) = @ARGV;
$| = 1;
$SIG{PIPE} = 'IGNORE';

my $lock;
while (1) {
    # Closed to others: who can open it can lock it.
    sysopen($lock, $path, O_RDWR | O_CREAT, 0600) or die "$path: $!\n";
    my ($device, $inode, $since) = (stat $lock)[0, 1, 9];
    if (!flock($lock, LOCK_EX | LOCK_NB)) {
        my $other = <$lock> // "\n";
        print "taken ", time - $since, " $other";
        exit;
    }
    # Whoever held it before takes the file away at the end.
    my @there = stat $path;
    last if @there && $there[0] == $device && $there[1] == $inode;
}
truncate($lock, 0);
syswrite($lock, "$who\n");
print "held\n";

while (1) {
    my $ready = '';
    vec($ready, fileno(STDIN), 1) = 1;
    select($ready, undef, undef, $patience) or last;
    sysread(STDIN, my $told, 4096) or last;
    last if $told =~ /^end$/m;
    syswrite(STDOUT, $told) or last;
}
unlink $path;
